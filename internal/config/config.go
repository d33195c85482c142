// Package config gathers the settings of all parts: defaults, then the
// configuration file, then the environment, then flags, each over the one
// before. A setting nobody knows is an error wherever it stands.
package config

import (
	_ "embed"
	"encoding"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Reference is the commented configuration file with every default.
//
//go:embed belfry.toml
var Reference string

// EnvPrefix begins the environment variables: the setting site.seats is
// BELFRY_SITE_SEATS.
const EnvPrefix = "BELFRY_"

// A Config holds all settings.
type Config struct {
	Data            string       `toml:"data"`
	HTTP            string       `toml:"http"`
	RTMP            string       `toml:"rtmp"`
	RTMPS           string       `toml:"rtmps"`
	Media           string       `toml:"media"`
	TLS             string       `toml:"tls"`
	Certificate     string       `toml:"certificate"`
	CertificateKey  string       `toml:"certificate_key"`
	ACMEDomain      string       `toml:"acme_domain"`
	ACMEEmail       string       `toml:"acme_email"`
	ACMEDirectory   string       `toml:"acme_directory"`
	PublicURL       string       `toml:"public_url"`
	IngestHost      string       `toml:"ingest_host"`
	PublicAddresses []netip.Addr `toml:"public_addresses"`
	STUNServer      string       `toml:"stun_server"`
	Relay           string       `toml:"relay"`
	Account         string       `toml:"account"`
	Region          string       `toml:"region"`

	Log       Log       `toml:"log"`
	Meeting   Meeting   `toml:"meeting"`
	Limits    Limits    `toml:"limits"`
	Metrics   Metrics   `toml:"metrics"`
	Connector Connector `toml:"connector"`
	Channel   Channel   `toml:"channel"`
	Site      Site      `toml:"site"`
	Events    Events    `toml:"events"`
	API       API       `toml:"api"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}

// Meeting limits meetings.
type Meeting struct {
	EmptyTimeout Patience `toml:"empty_timeout"`
	MaxAge       Patience `toml:"max_age"`
	MaxMeetings  int      `toml:"max_meetings"`
	MaxAttendees int      `toml:"max_attendees"`
	MaxCameras   int      `toml:"max_cameras"`
	MaxShares    int      `toml:"max_shares"`
	MaxReplicas  int      `toml:"max_replicas"`
}

// Limits are those of all meetings together; 0 is none.
type Limits struct {
	Attendees      int `toml:"attendees"`
	Connections    int `toml:"connections"`
	Videos         int `toml:"videos"`
	JoinsPerSecond int `toml:"joins_per_second"`
	CPUPercent     int `toml:"cpu_percent"`
	Mbps           int `toml:"mbps"`
}

// Metrics says who may read them.
type Metrics struct {
	Token string `toml:"token"`
}

// Connector limits media pipelines.
type Connector struct {
	MaxPipelines int      `toml:"max_pipelines"`
	TrustedCAs   []string `toml:"trusted_cas"`
}

// Site sets up the application that the site's front end uses.
type Site struct {
	Seats          int      `toml:"seats"`
	Lifetime       Duration `toml:"lifetime"`
	LatencyMode    string   `toml:"latency_mode"`
	Resolution     string   `toml:"resolution"`
	LiveTimeout    Duration `toml:"live_timeout"`
	AllowedOrigins []string `toml:"allowed_origins"`
}

// A Duration is written as Go writes one: "5m", "1h30m".
type Duration struct{ time.Duration }

// UnmarshalText parses the duration.
func (d *Duration) UnmarshalText(b []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(b))
	return err
}

// Default returns the settings of a server nobody has configured: it listens
// on the loopback interface alone.
func Default() Config {
	return Config{
		Data:            "./data",
		HTTP:            "127.0.0.1:8080",
		RTMP:            "127.0.0.1:1935",
		RTMPS:           "127.0.0.1:1936",
		Media:           "127.0.0.1:3478",
		ACMEDirectory:   "https://acme-v02.api.letsencrypt.org/directory",
		PublicAddresses: []netip.Addr{},
		Relay:           "auto",
		Account:         "000000000000",
		Region:          "us-east-1",
		Log:             Log{Level: "info", Format: "text"},
		Meeting: Meeting{
			EmptyTimeout: Patience{Duration{5 * time.Minute}}, MaxAge: Patience{Duration{24 * time.Hour}},
			MaxMeetings: 250, MaxAttendees: 250, MaxCameras: 25, MaxShares: 2, MaxReplicas: 4,
		},
		Limits:    Limits{Attendees: 5000, Connections: 20000, Videos: 2000, JoinsPerSecond: 100, CPUPercent: 95},
		Connector: Connector{MaxPipelines: 100, TrustedCAs: []string{}},
		Channel:   defaultChannel,
		Site: Site{
			Seats: 2, Lifetime: Duration{5 * time.Minute}, LatencyMode: "NORMAL", Resolution: "HD",
			LiveTimeout: Duration{20 * time.Second}, AllowedOrigins: []string{"*"},
		},
		Events: defaultEvents(),
		API:    API{Throttling: "generous"},
	}
}

// Load returns the defaults, changed by the file (none if the name is empty)
// and then by the environment, given as os.Environ gives it.
func Load(file string, environ []string) (Config, error) {
	c := Default()
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return Config{}, fmt.Errorf("read the configuration: %w", err)
		}
		if err := c.decode(string(text)); err != nil {
			return Config{}, fmt.Errorf("configuration file %s: %w", file, err)
		}
	}
	known := c.settings()
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		set, ok := known[name]
		if !ok {
			return Config{}, fmt.Errorf("environment variable %s is no setting of belfry", name)
		}
		if err := setText(set, value); err != nil {
			return Config{}, fmt.Errorf("environment variable %s: %w", name, err)
		}
	}
	return c, nil
}

func (c *Config) decode(text string) error {
	meta, err := toml.Decode(text, c)
	if err != nil {
		return err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return fmt.Errorf("%s is no setting of belfry", unknown[0])
	}
	return nil
}

var unmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// settings returns the fields that can be set, by environment variable.
func (c *Config) settings() map[string]reflect.Value {
	found := map[string]reflect.Value{}
	var walk func(v reflect.Value, prefix string)
	walk = func(v reflect.Value, prefix string) {
		for f, fv := range v.Fields() {
			name := prefix + strings.ToUpper(f.Tag.Get("toml"))
			if fv.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && !reflect.PointerTo(f.Type.Elem()).Implements(unmarshaler) {
				continue // a list of tables does not fit a variable
			}
			if _, leaf := fv.Addr().Interface().(encoding.TextUnmarshaler); fv.Kind() == reflect.Struct && !leaf {
				walk(fv, name+"_")
			} else {
				found[name] = fv
			}
		}
	}
	walk(reflect.ValueOf(c).Elem(), EnvPrefix)
	return found
}

func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, ok := map[string]bool{"true": true, "false": false}[text]
		if !ok {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		v.SetInt(int64(n))
	case reflect.Slice:
		list := reflect.MakeSlice(v.Type(), 0, 1)
		for _, part := range strings.Split(text, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			item := reflect.New(v.Type().Elem()).Elem()
			if err := setText(item, part); err != nil {
				return err
			}
			list = reflect.Append(list, item)
		}
		v.Set(list)
	default:
		panic("config: setting of a kind that cannot be set from text: " + v.Type().String())
	}
	return nil
}

// minToken is the shortest secret that nobody guesses, in characters.
const minToken = 16

// Check says what is wrong with the settings, everything at once.
func (c Config) Check() error {
	var wrong []error
	say := func(setting string, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s: "+format, append([]any{setting}, args...)...))
	}
	if c.Data == "" {
		say("data", "want a folder")
	}
	for setting, addr := range map[string]string{
		"http": c.HTTP, "rtmp": c.RTMP, "rtmps": c.RTMPS, "media": c.Media, "tls": c.TLS, "stun_server": c.STUNServer,
	} {
		if addr == "" && (setting == "tls" || setting == "stun_server") {
			continue // off
		}
		host, port, err := net.SplitHostPort(addr)
		if n, numErr := strconv.Atoi(port); err != nil || numErr != nil || n < 0 || n > 65535 {
			say(setting, "%q is no address, want host:port", addr)
		} else if setting == "media" && host != "" && net.ParseIP(host) == nil {
			say(setting, "%q is no address, want an IP address and a port", addr)
		} else if setting == "stun_server" && (host == "" || n == 0) {
			say(setting, "%q is no server, want host:port", addr)
		}
	}
	if c.ACMEDomain != "" && (c.TLS == "" || c.Certificate != "") {
		say("acme_domain", "want tls set and certificate not")
	}
	if u, err := url.Parse(c.ACMEDirectory); err != nil || u.Host == "" || u.Scheme != "https" {
		say("acme_directory", "%q is no https URL", c.ACMEDirectory)
	}
	if (c.Certificate == "") != (c.CertificateKey == "") {
		say("certificate", "certificate and certificate_key go together")
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		say("public_url", "%q is no http or https URL", c.PublicURL)
	}
	if !isAccount(c.Account) {
		say("account", "%q is no account, want 12 digits", c.Account)
	}
	oneOf := func(setting, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			say(setting, "%q is not among %s", value, strings.Join(allowed, ", "))
		}
	}
	oneOf("relay", c.Relay, "auto", "always", "never")
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	oneOf("site.latency_mode", c.Site.LatencyMode, "NORMAL", "LOW")
	oneOf("site.resolution", c.Site.Resolution, "HD", "FHD")
	for setting, n := range map[string]int{
		"meeting.max_meetings": c.Meeting.MaxMeetings, "connector.max_pipelines": c.Connector.MaxPipelines,
		"site.seats":            c.Site.Seats,
		"meeting.max_attendees": c.Meeting.MaxAttendees, "meeting.max_cameras": c.Meeting.MaxCameras, "meeting.max_shares": c.Meeting.MaxShares, "meeting.max_replicas": c.Meeting.MaxReplicas,
	} {
		if n < 1 {
			say(setting, "%d is less than 1", n)
		}
	}
	for setting, n := range map[string]int{
		"limits.attendees": c.Limits.Attendees, "limits.connections": c.Limits.Connections, "limits.videos": c.Limits.Videos,
		"limits.joins_per_second": c.Limits.JoinsPerSecond, "limits.cpu_percent": c.Limits.CPUPercent, "limits.mbps": c.Limits.Mbps,
	} {
		if n < 0 {
			say(setting, "%d is less than 0", n)
		}
	}
	if c.Limits.CPUPercent > 100 {
		say("limits.cpu_percent", "%d is more than all", c.Limits.CPUPercent)
	}
	if n := len(c.Metrics.Token); n > 0 && n < minToken {
		say("metrics.token", "it has %d characters, want %d or more", n, minToken)
	}
	for setting, d := range map[string]Patience{"meeting.empty_timeout": c.Meeting.EmptyTimeout, "meeting.max_age": c.Meeting.MaxAge} {
		if d.tooShort() {
			say(setting, "%v is less than 1s", d)
		}
	}
	for setting, d := range map[string]Duration{
		"site.lifetime": c.Site.Lifetime, "site.live_timeout": c.Site.LiveTimeout,
	} {
		if d.Duration < time.Second {
			say(setting, "%v is less than 1s", d)
		}
	}
	c.Channel.check(say)
	c.Events.check(say)
	c.API.check(say, oneOf)
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}

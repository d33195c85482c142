package ivs

import (
	"cmp"
	"net/http"
	"strings"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/channel"
)

// settingMembers are what CreateChannel and UpdateChannel have in common.
func settingMembers() []restjson.Member {
	return []restjson.Member{
		restjson.Optional("name", name),
		restjson.Optional("latencyMode", restjson.Enum("NORMAL", "LOW")),
		restjson.Optional("type", restjson.Enum(basic, standard, "ADVANCED_SD", "ADVANCED_HD")),
		restjson.Optional("authorized", restjson.Boolean()),
		restjson.Optional("recordingConfigurationArn", arnOrEmpty("recording-configuration")),
		restjson.Optional("insecureIngest", restjson.Boolean()),
		restjson.Optional("preset", restjson.Enum(higherBandwidth, "CONSTRAINED_BANDWIDTH_DELIVERY", "")),
		restjson.Optional("playbackRestrictionPolicyArn", arnOrEmpty("playback-restriction-policy")),
		restjson.Optional("multitrackInputConfiguration", restjson.Structure(
			restjson.Optional("enabled", restjson.Boolean()),
			restjson.Optional("policy", restjson.Enum("ALLOW", "REQUIRE")),
			restjson.Optional("maximumResolution", restjson.Enum("SD", "HD", "FULL_HD")),
		)),
		restjson.Optional("containerFormat", restjson.Enum("TS", "FRAGMENTED_MP4")),
		restjson.Optional("adConfigurationArn", arnOrEmpty("ad-configuration")),
	}
}

const (
	basic           = "BASIC"
	standard        = "STANDARD"
	higherBandwidth = "HIGHER_BANDWIDTH_DELIVERY"
)

// settings are a channel's; what is nil stays as it is.
type settings struct {
	Name                         *string
	LatencyMode                  *string
	Type                         *string
	Authorized                   *bool
	RecordingConfigurationARN    *string `json:"recordingConfigurationArn"`
	InsecureIngest               *bool
	Preset                       *string
	PlaybackRestrictionPolicyARN *string `json:"playbackRestrictionPolicyArn"`
	MultitrackInputConfiguration *multitrack
	ContainerFormat              *string
	AdConfigurationARN           *string `json:"adConfigurationArn"`
}

type multitrack struct {
	Enabled           bool   `json:"enabled"`
	Policy            string `json:"policy"`
	MaximumResolution string `json:"maximumResolution"`
}

// plain is a channel that nobody wished anything for.
func plain(owner channel.Owner) channel.Spec {
	return channel.Spec{
		Account: owner.Account, Region: owner.Region,
		LatencyMode: "LOW", Type: standard, ContainerFormat: "TS",
	}
}

// change alters the spec, and says which settings contradict each other or name
// what does not exist.
func (s *service) change(c restjson.Caller, in settings, spec *channel.Spec) error {
	set(&spec.Name, in.Name)
	set(&spec.LatencyMode, in.LatencyMode)
	set(&spec.Type, in.Type)
	set(&spec.Authorized, in.Authorized)
	set(&spec.InsecureIngest, in.InsecureIngest)
	set(&spec.ContainerFormat, in.ContainerFormat)
	if err := changePreset(in, spec); err != nil {
		return err
	}
	if m := in.MultitrackInputConfiguration; m != nil {
		if err := m.check(spec); err != nil {
			return err
		}
	}
	return s.changeReferences(c, in, spec)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func changePreset(in settings, spec *channel.Spec) error {
	set(&spec.Preset, in.Preset)
	if strings.HasPrefix(spec.Type, "ADVANCED_") {
		spec.Preset = cmp.Or(spec.Preset, higherBandwidth)
		return nil
	}
	if in.Preset != nil && *in.Preset != "" {
		return invalid("preset is for channels of an ADVANCED type, this one is of type %s: %q", spec.Type, *in.Preset)
	}
	spec.Preset = ""
	return nil
}

// check holds the wish for several video tracks against AWS's rules, and then
// refuses it.
func (m multitrack) check(spec *channel.Spec) error {
	const member = "multitrackInputConfiguration."
	switch {
	case !m.Enabled:
		spec.Multitrack = channel.Multitrack{Policy: m.Policy, MaximumResolution: m.MaximumResolution}
		return nil
	case spec.Type != standard:
		return invalid(member+"enabled is for channels of type %s, this one is of type %s", standard, spec.Type)
	case m.Policy == "":
		return invalid(member + "policy is required when " + member + "enabled is true")
	case m.MaximumResolution == "":
		return invalid(member + "maximumResolution is required when " + member + "enabled is true")
	case spec.ContainerFormat != "FRAGMENTED_MP4":
		return invalid("containerFormat must be FRAGMENTED_MP4 when "+member+"enabled is true: %q", spec.ContainerFormat)
	}
	return invalid(member + "enabled must be false: multitrack input is not available on this server")
}

// changeReferences makes the ARNs of what a channel names ids.
func (s *service) changeReferences(c restjson.Caller, in settings, spec *channel.Spec) error {
	missing := func(member, arn string) error {
		return restjson.Errorf(http.StatusNotFound, notFound, "%s: no such resource: %q", member, arn)
	}
	if arn := in.RecordingConfigurationARN; arn != nil {
		id, _ := idIn(c, "recording-configuration", *arn)
		if _, err := s.channels.Recording(owner(c), channel.RecordingID(id)); err != nil && *arn != "" {
			return missing("recordingConfigurationArn", *arn)
		}
		spec.Recording = channel.RecordingID(id)
	}
	if arn := in.PlaybackRestrictionPolicyARN; arn != nil {
		id, _ := idIn(c, "playback-restriction-policy", *arn)
		if _, err := s.channels.RestrictionPolicy(owner(c), channel.PolicyID(id)); err != nil && *arn != "" {
			return missing("playbackRestrictionPolicyArn", *arn)
		}
		spec.Policy = channel.PolicyID(id)
	}
	if arn := in.AdConfigurationARN; arn != nil && *arn != "" {
		return missing("adConfigurationArn", *arn)
	}
	return nil
}

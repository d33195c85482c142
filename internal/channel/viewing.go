package channel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"belfry.live/belfry/internal/channel/ticket"
	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/collection"
)

// An InvalidError says that a member of a request cannot be what it is.
type InvalidError struct {
	Member string // as AWS spells it
	Reason string
}

// ErrInvalid is what every InvalidError is.
var ErrInvalid = errors.New("a member cannot be what it is")

// Is says whether target is ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

func (e *InvalidError) Error() string { return e.Member + ": " + e.Reason }

func invalid(member, format string, args ...any) error {
	return &InvalidError{member, fmt.Sprintf(format, args...)}
}

// viewing is what decides who may watch: the owners' playback keys and
// restriction policies, which of the viewers' sessions are revoked, and which
// tokens were used that may be only once.
type viewing struct {
	cfg Config

	keys        *collection.Collection[PlaybackKeyPair]
	policies    *collection.Collection[RestrictionPolicy]
	revocations *collection.Collection[revocation]
	used        store.Table // by channel and UUID

	keysMu sync.Mutex // held to import a key: counts, compares, writes
	// policiesMu is held to make a policy (counts, writes) and to delete one
	// (looks for channels that name it), and shared by who writes a channel
	// that names one. It is held while the store writes.
	policiesMu sync.RWMutex
}

func newViewing(ctx context.Context, cfg Config, tables store.Tables, log *slog.Logger) (*viewing, error) {
	v := &viewing{cfg: cfg}
	var err error
	if v.keys, err = openCollection[PlaybackKeyPair](ctx, tables, "playback-keys", store.TableConfig{}, log); err != nil {
		return nil, err
	}
	if v.policies, err = openCollection[RestrictionPolicy](ctx, tables, "restriction-policies", store.TableConfig{}, log); err != nil {
		return nil, err
	}
	if v.revocations, err = openCollection[revocation](ctx, tables, "viewer-revocations", store.TableConfig{TTL: revocationLife}, log); err != nil {
		return nil, err
	}
	v.used, err = tables.Table(ctx, "single-use-tokens", store.TableConfig{TTL: usedLife})
	return v, err
}

func openCollection[T any](ctx context.Context, tables store.Tables, name string, cfg store.TableConfig, log *slog.Logger) (*collection.Collection[T], error) {
	table, err := tables.Table(ctx, name, cfg)
	if err != nil {
		return nil, err
	}
	return collection.Open(ctx, table, collection.Config[T]{Log: log.With("table", name)})
}

// run follows what other nodes change, until ctx ends.
func (v *viewing) run(ctx context.Context) {
	var following sync.WaitGroup
	defer following.Wait()
	for _, follow := range []func(context.Context) error{v.keys.Run, v.policies.Run, v.revocations.Run} {
		following.Go(func() { follow(ctx) }) // logs what goes wrong, returns nil
	}
}

// key returns under which key an owner's resource is stored; "" is none. What
// an owner has begins with key("").
func (o Owner) key(id string) string {
	const region = "abcdefghijklmnopqrstuvwxyz0123456789-"
	if o.Account == "" || o.Region == "" || len(o.Region) > 64 ||
		strings.Trim(o.Account, "0123456789") != "" || strings.Trim(o.Region, region) != "" || id != "" && !isID(id) {
		return ""
	}
	return o.Account + "/" + o.Region + "/" + id
}

// Rules say who may watch a channel.
type Rules struct {
	Owner
	Authorized bool // only who shows a token
	// Origins may load the multivariant playlist; with StrictOrigin nobody
	// else loads anything.
	Origins      ticket.Origins
	StrictOrigin bool
}

// Rules returns who may watch the channel now, if there is one. A deleted one
// keeps the rules it had as long as viewers may finish its last broadcast. It
// reads memory alone.
func (s *Service) Rules(id ID) (Rules, bool) {
	if r, err := s.channels.Get(string(id)); err == nil {
		return s.viewing.rules(r.Channel)
	}
	l := s.findLive(id)
	if l == nil {
		return Rules{}, false
	}
	ch := l.channel
	l.mu.Unlock()
	return s.viewing.rules(ch)
}

// rules returns the channel's rules. A channel whose policy is not there has
// none that could be kept, and is shown to nobody.
func (v *viewing) rules(ch Channel) (Rules, bool) {
	r := Rules{Owner: ch.Owner(), Authorized: ch.Authorized}
	if ch.Policy == "" {
		return r, true
	}
	p, err := v.policies.Get(r.key(string(ch.Policy)))
	r.Origins, r.StrictOrigin = p.Allowed, p.StrictOrigin
	return r, err == nil
}

// ErrUsed says that a token that may be used once was used before.
var ErrUsed = errors.New("the token was used before")

// usedLife is how long it is remembered that a token was used: as long as one
// lives that may be used once.
const usedLife = ticket.TokenLead + 2*ticket.ClockSkew

// UseOnce notes that a token for the channel with that UUID is used, or returns
// ErrUsed.
func (s *Service) UseOnce(ctx context.Context, id ID, uuid string) error {
	_, err := s.viewing.used.Create(ctx, string(id)+"/"+uuid, nil)
	if errors.Is(err, store.ErrExists) {
		return ErrUsed
	}
	return err
}

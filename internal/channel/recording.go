package channel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"belfry.live/belfry/internal/store"
	"belfry.live/belfry/internal/store/collection"
)

// Errors of recording configurations.
var (
	ErrRecordingNotFound    = errors.New("recording configuration not found")
	ErrRecordingInUse       = errors.New("the recording configuration is in use")
	ErrTooManyRecordings    = errors.New("as many recording configurations exist as an account may have in a region")
	ErrRecordingUnavailable = errors.New("recording is not available on this server")
)

// A RecordingID names a recording configuration: 12 of [A-Za-z0-9].
type RecordingID string

// A RecordingState says whether a recording configuration can be used.
type RecordingState string

// The states, as AWS spells them.
const (
	RecordingCreating RecordingState = "CREATING"
	RecordingFailed   RecordingState = "CREATE_FAILED"
	RecordingActive   RecordingState = "ACTIVE"
)

// A RecordingSpec is what somebody asks for when making a recording
// configuration. It never changes.
type RecordingSpec struct {
	Name            string
	Bucket          string
	ReconnectWindow int // seconds in which the next stream goes on with the recording
	Thumbnails      Thumbnails
	Renditions      Renditions
	Tags            map[string]string
}

// Thumbnails says which pictures of the stream are kept.
type Thumbnails struct {
	Mode       string // INTERVAL, DISABLED
	Interval   int    // seconds
	Resolution string // "", or one of Renditions.List
	Storage    []string
}

// Renditions says which renditions are recorded.
type Renditions struct {
	Selection string   // ALL, NONE, CUSTOM
	List      []string // SD, HD, FULL_HD, LOWEST_RESOLUTION, if CUSTOM
}

// A RecordingConfiguration says where streams are recorded.
type RecordingConfiguration struct {
	ID RecordingID
	Owner
	Created time.Time
	State   RecordingState
	RecordingSpec
}

// check says what in the spec contradicts itself.
func (spec RecordingSpec) check() error {
	switch t := spec.Thumbnails; {
	case t.Mode == "DISABLED" && (t.Resolution != "" || len(t.Storage) > 0):
		return invalid("thumbnailConfiguration", "recordingMode DISABLED goes with no resolution and no storage")
	case t.Mode != "DISABLED" && len(t.Storage) == 0:
		return invalid("thumbnailConfiguration.storage", "must have 1 to 2 items, got 0")
	}
	switch r := spec.Renditions; {
	case r.Selection == "CUSTOM" && len(r.List) == 0:
		return invalid("renditionConfiguration.renditions", "must have 1 item or more with renditionSelection CUSTOM")
	case r.Selection != "CUSTOM" && len(r.List) > 0:
		return invalid("renditionConfiguration.renditions", "must be empty with renditionSelection %s", r.Selection)
	}
	return nil
}

// recordings are the recording configurations, of all owners.
type recordings struct {
	configurations *collection.Collection[RecordingConfiguration] // by Owner.key of the id
	check          func(ctx context.Context, bucket string) error
	log            *slog.Logger

	// mu is held to make a configuration (counts, writes) and to delete one
	// (looks for channels that name it), and shared by who writes a channel
	// that names one. It is held while the store writes.
	mu   sync.RWMutex
	made chan struct{} // has an element when one is to be checked
}

func newRecordings(ctx context.Context, cfg Config, tables store.Tables, log *slog.Logger) (*recordings, error) {
	r := &recordings{check: cfg.CheckBucket, log: log, made: make(chan struct{}, 1)}
	var err error
	r.configurations, err = openCollection[RecordingConfiguration](ctx, tables, "recording-configurations", store.TableConfig{}, log)
	return r, err
}

// run finds out whether new configurations can be used, until ctx ends.
func (r *recordings) run(ctx context.Context) {
	var side sync.WaitGroup
	defer side.Wait()
	side.Go(func() { _ = r.configurations.Run(ctx) }) // ends with ctx alone
	for {
		for at, c := range r.configurations.All("") {
			if c.State == RecordingCreating {
				r.settle(ctx, at, c)
			}
		}
		select {
		case <-r.made:
		case <-ctx.Done():
			return
		}
	}
}

func (r *recordings) settle(ctx context.Context, at string, c RecordingConfiguration) {
	state := RecordingActive
	if r.check == nil {
		state = RecordingFailed
	} else if err := r.check(ctx, c.Bucket); err != nil {
		if ctx.Err() != nil {
			return // the next start asks again
		}
		r.log.Warn("a recording configuration's bucket cannot be used", "bucket", c.Bucket, "err", err)
		state = RecordingFailed
	}
	_, err := r.configurations.Update(ctx, at, func(c *RecordingConfiguration) error {
		c.State = state
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
		r.log.Error("a recording configuration's state is not written", "err", err)
	}
}

// CreateRecording makes a recording configuration, which can be used once it is
// active. It returns an InvalidError, ErrTooManyRecordings, or
// ErrRecordingUnavailable.
func (s *Service) CreateRecording(ctx context.Context, owner Owner, spec RecordingSpec) (RecordingConfiguration, error) {
	c := RecordingConfiguration{
		ID: RecordingID(randomID(12)), Owner: owner, Created: time.Now().UTC().Truncate(time.Millisecond),
		State: RecordingCreating, RecordingSpec: spec,
	}
	at := owner.key(string(c.ID))
	if at == "" {
		return RecordingConfiguration{}, invalid("region", "%q is none", owner.Region)
	}
	if err := spec.check(); err != nil {
		return RecordingConfiguration{}, err
	}
	if !s.cfg.Recording {
		return RecordingConfiguration{}, ErrRecordingUnavailable
	}
	s.recordings.mu.Lock()
	defer s.recordings.mu.Unlock()
	if limit := s.cfg.MaxRecordings; len(s.Recordings(owner)) >= limit {
		return RecordingConfiguration{}, fmt.Errorf("%w: %d", ErrTooManyRecordings, limit)
	}
	if err := s.recordings.configurations.Create(ctx, at, c); err != nil {
		return RecordingConfiguration{}, fmt.Errorf("record the recording configuration: %w", err)
	}
	select {
	case s.recordings.made <- struct{}{}:
	default:
	}
	return c, nil
}

// Recording returns the owner's recording configuration, or
// ErrRecordingNotFound.
func (s *Service) Recording(owner Owner, id RecordingID) (RecordingConfiguration, error) {
	if id == "" {
		return RecordingConfiguration{}, ErrRecordingNotFound
	}
	c, err := s.recordings.configurations.Get(owner.key(string(id)))
	return c, orNotFound(err, ErrRecordingNotFound)
}

// Recordings returns all of the owner's recording configurations, by id.
func (s *Service) Recordings(owner Owner) []RecordingConfiguration {
	var found []RecordingConfiguration
	if prefix := owner.key(""); prefix != "" {
		for _, c := range s.recordings.configurations.All(prefix) {
			found = append(found, c)
		}
	}
	return found
}

// DeleteRecording removes the recording configuration. It returns
// ErrRecordingNotFound, or ErrRecordingInUse while a channel names it or it is
// being made.
func (s *Service) DeleteRecording(ctx context.Context, owner Owner, id RecordingID) error {
	s.recordings.mu.Lock()
	defer s.recordings.mu.Unlock()
	c, err := s.Recording(owner, id)
	if err != nil {
		return err
	}
	if c.State == RecordingCreating {
		return fmt.Errorf("%w: it is being made", ErrRecordingInUse)
	}
	channels, err := s.List(ctx, owner.Account, owner.Region)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(channels, func(ch Channel) bool { return ch.Recording == id }); i >= 0 {
		return fmt.Errorf("%w by channel %s", ErrRecordingInUse, channels[i].ID)
	}
	_, err = s.recordings.configurations.Delete(ctx, owner.key(string(id)), nil)
	return orNotFound(err, ErrRecordingNotFound)
}

// TagRecording lets edit change the configuration's tags. It returns
// ErrRecordingNotFound, or edit's error, and then nothing has changed.
func (s *Service) TagRecording(ctx context.Context, owner Owner, id RecordingID, edit func(tags map[string]string) error) error {
	if _, err := s.Recording(owner, id); err != nil {
		return err
	}
	_, err := s.recordings.configurations.Update(ctx, owner.key(string(id)), func(c *RecordingConfiguration) error {
		return editTags(&c.Tags, edit)
	})
	return orNotFound(err, ErrRecordingNotFound)
}

// holdRecording keeps the configuration from being deleted until release is
// called; so does who writes a channel that names it. It returns
// ErrRecordingNotFound, or ErrRecordingInUse if it is not active. No
// configuration is held without ado.
func (s *Service) holdRecording(owner Owner, id RecordingID) (release func(), err error) {
	if id == "" {
		return func() {}, nil
	}
	s.recordings.mu.RLock()
	c, err := s.Recording(owner, id)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %s", err, id)
	case c.State != RecordingActive:
		err = invalid("recordingConfigurationArn", "names a recording configuration that is %s, not ACTIVE", c.State)
	}
	if err != nil {
		s.recordings.mu.RUnlock()
		return nil, err
	}
	return s.recordings.mu.RUnlock, nil
}

package port

import (
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

func TestCheck(t *testing.T) {
	p := open(t, Config{})
	for _, c := range []struct {
		name    string
		ours    string
		option  checkOption
		code    stun.ErrorCode // 0: success
		silence bool
		proves  bool // the answer proves who it is from
		reason  Reason
		counted bool
	}{
		{name: "right", proves: true},
		{name: "not nominating", option: func(c *checkConfig) { c.nominate = false }, proves: true},
		{name: "wrong password", option: func(c *checkConfig) { c.pwd = "another" }, code: stun.CodeUnauthorized, reason: WrongPassword, counted: true},
		{name: "nobody here", option: func(c *checkConfig) { c.username = "nobody:theirs" }, code: stun.CodeUnauthorized, reason: UnknownUser, counted: true},
		{name: "another client", option: func(c *checkConfig) { c.username = "another client:else" }, code: stun.CodeUnauthorized, reason: UnknownUser, counted: true},
		{name: "no name", option: func(c *checkConfig) { c.username = "" }, code: stun.CodeBadRequest, reason: UnknownUser, counted: true},
		{name: "no integrity", option: func(c *checkConfig) { c.noIntegrity = true }, code: stun.CodeBadRequest, reason: UnknownUser, counted: true},
		{name: "no fingerprint", option: func(c *checkConfig) { c.noPrint = true }, silence: true, reason: Malformed, counted: true},
		{name: "wrong fingerprint", option: func(c *checkConfig) { c.brokenPrint = true }, silence: true, reason: Malformed, counted: true},
		{name: "both controlled", option: func(c *checkConfig) { c.controlled = true }, code: stun.CodeRoleConflict, proves: true},
		{name: "unknown attribute", option: func(c *checkConfig) { c.unknown = true }, code: stun.CodeUnknownAttribute, proves: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newFlow(t, p, c.name, time.Minute)
			client := newClient(t, p.Addr())
			before := p.dropped(c.reason)
			option := c.option
			if option == nil {
				option = func(*checkConfig) {}
			}
			request := newCheck(t, c.name, option)
			client.send(request.Raw)
			if c.silence {
				wait(t, "count", func() bool { return p.dropped(c.reason) > before })
				if m := client.answer(request, 50*time.Millisecond); m != nil {
					t.Fatalf("got %v, want no answer", m)
				}
				return
			}
			m := client.answer(request, patience)
			if m == nil {
				t.Fatal("got no answer")
			}
			if err := stun.Fingerprint.Check(m); err != nil {
				t.Errorf("fingerprint: %v", err)
			}
			if err := stun.NewShortTermIntegrity(testPwd).Check(m); (err == nil) != c.proves {
				t.Errorf("integrity: got %v, want it to be right: %v", err, c.proves)
			}
			if c.counted && p.dropped(c.reason) != before+1 {
				t.Errorf("%v: got %d more, want 1", c.reason, p.dropped(c.reason)-before)
			}
			if c.code != 0 {
				var code stun.ErrorCodeAttribute
				if err := code.GetFrom(m); m.Type != stun.BindingError || err != nil || code.Code != c.code {
					t.Errorf("got %v, %v, want error %d", m, err, c.code)
				}
				if r.isConnected() {
					t.Error("the client counts as heard")
				}
				return
			}
			var at stun.XORMappedAddress
			if err := at.GetFrom(m); m.Type != stun.BindingSuccess || err != nil || at.Port != int(client.addr().Port()) {
				t.Errorf("got %v, %v, want success and port %d", m, err, client.addr().Port())
			}
			wait(t, "event", r.isConnected)
			if got := r.flow.Remote(); got != client.addr() {
				t.Errorf("client's address: got %v, want %v", got, client.addr())
			}
		})
	}
}

// What stands behind the integrity is anybody's.
func TestNominationMustBeProved(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	first := connect(t, r)
	second := newClient(t, p.Addr())
	second.check("ours", func(c *checkConfig) { c.nominate, c.late = false, true })
	if got := r.flow.Remote(); got != first.addr() {
		t.Errorf("client's address: got %v, want %v", got, first.addr())
	}
}

func TestStrangersAreAnsweredSeldom(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	c := connect(t, r)
	answered := 0
	for range 3 * strangerBurst {
		c.send(newCheck(t, "nobody").Raw)
		for c.read(time.Microsecond) != nil {
			answered++
		}
	}
	wait(t, "count", func() bool { return p.dropped(UnknownUser) == 3*strangerBurst })
	for c.read(20*time.Millisecond) != nil {
		answered++
	}
	if answered < strangerBurst || answered > 2*strangerBurst {
		t.Errorf("answers: got %d, want about %d", answered, strangerBurst)
	}
	if m := c.check("ours"); m == nil || m.Type != stun.BindingSuccess {
		t.Errorf("the client's own check: got %v, want success", m)
	}
}

// Somebody who has seen a client's name but not its password can neither use
// up its checks nor become it.
func TestStrangerWithAName(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	c, stranger := connect(t, r), newClient(t, p.Addr())
	for range 2 * checkBurst {
		stranger.send(newCheck(t, "ours", func(c *checkConfig) { c.pwd = "guessed" }).Raw)
	}
	wait(t, "count", func() bool { return p.dropped(TooManyChecks) > 0 })
	if m := c.check("ours"); m == nil || m.Type != stun.BindingSuccess {
		t.Errorf("the client's own check: got %v, want success", m)
	}
	if got := r.flow.Remote(); got != c.addr() {
		t.Errorf("client's address: got %v, want %v", got, c.addr())
	}
}

func TestOneClientsChecksAreBounded(t *testing.T) {
	p := open(t, Config{})
	r := newFlow(t, p, "ours", time.Minute)
	c := connect(t, r)
	m := newCheck(t, "ours")
	for range 3 * checkBurst {
		c.send(m.Raw)
	}
	wait(t, "count", func() bool { return p.dropped(TooManyChecks) > checkBurst })
}

func TestLimiter(t *testing.T) {
	l := limiter{rate: 10, burst: 5}
	now := time.Unix(1000, 0)
	take := func() (n int) {
		for l.allow(now) {
			n++
		}
		return n
	}
	if got := take(); got != 5 {
		t.Errorf("at first: got %d, want 5", got)
	}
	now = now.Add(250 * time.Millisecond)
	if got := take(); got != 2 {
		t.Errorf("after a quarter of a second: got %d, want 2", got)
	}
	now = now.Add(time.Hour)
	if got := take(); got != 5 {
		t.Errorf("after an hour: got %d, want 5", got)
	}
	now = now.Add(-time.Hour)
	if got := take(); got != 0 {
		t.Errorf("when the clock goes back: got %d, want 0", got)
	}
}

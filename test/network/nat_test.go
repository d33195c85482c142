package network

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/pion/stun/v4"
)

// The client's network shares one address, in the ways that differ for who
// looks for a way in.
func TestClientBehindNAT(t *testing.T) {
	for name, rules := range map[string]string{
		// Each port is kept, and whoever writes to it reaches the client.
		"full cone": `table ip lab {
  chain out { type nat hook postrouting priority 100; oifname server masquerade persistent; }
  chain in { type nat hook prerouting priority -100; iifname server udp dport 1024-65535 dnat to ` + clientIP + `; }
}`,
		// Each destination sees another port.
		"symmetric": `table ip lab {
  chain out { type nat hook postrouting priority 100; oifname server masquerade fully-random; }
}`,
	} {
		for _, relay := range []string{"never", "always"} {
			t.Run(name+", relay "+relay, func(t *testing.T) {
				l := newLab(t)
				l.without("-6")
				l.firewall(rules)
				l.server.run("ip", "route", "del", "default") // knows the router alone
				s := l.serve("http://"+serverIP+":8080", "RELAY="+relay)
				l.meets()
				if n := relayed(s.Log.String()); (n > 0) != (relay == "always") {
					t.Errorf("%d attendees were sent to the relay", n)
				}
			})
		}
	}
}

// public is the server's address as clients know it. Its own is out of reach.
const public = "10.77.2.100"

func (l *lab) serverBehindNAT() {
	l.t.Helper()
	l.without("-6")
	l.router.run("ip", "addr", "add", public+"/24", "dev", "client")
	l.firewall(`table ip lab {
  chain in { type nat hook prerouting priority -100; iifname client ip daddr ` + public + ` dnat to ` + serverIP + `; }
  chain out { type nat hook postrouting priority 100; oifname client snat to ` + public + `; }
  chain guard { type filter hook prerouting priority -200; iifname client ip daddr ` + serverIP + ` drop; }
}`)
}

func TestServerBehindNAT(t *testing.T) {
	for _, relay := range []string{"never", "always"} {
		t.Run("relay "+relay, func(t *testing.T) {
			l := newLab(t)
			l.serverBehindNAT()
			l.serve("http://"+public+":8080", "PUBLIC_ADDRESSES="+public, "RELAY="+relay)
			l.meets()
		})
	}
	t.Run("address unknown", func(t *testing.T) { // what the setting is for
		l := newLab(t)
		l.serverBehindNAT()
		l.serve("http://"+public+":8080", "RELAY=never")
		if m := l.attendees("--count", "1", "--duration", "1s"); m.Joined != 0 {
			t.Errorf("got %d attendees in, want none", m.Joined)
		}
	})
}

func TestServerFindsItsAddress(t *testing.T) {
	l := newLab(t)
	l.serverBehindNAT()
	at := l.stunServer()
	s := l.serve("http://"+public+":8080", "STUN_SERVER="+at)
	l.meets()
	if log := s.Log.String(); !strings.Contains(log, "public addresses found") || !strings.Contains(log, public) {
		t.Errorf("the log does not tell of %s:\n%s", public, log)
	}
}

// stunServer answers Binding requests in the client's network.
func (l *lab) stunServer() (addr string) {
	l.t.Helper()
	var conn net.PacketConn
	err := l.client.inside(func() (err error) {
		conn, err = net.ListenPacket("udp4", clientIP+":0")
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	done := make(chan struct{})
	l.t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
				return
			}
			m := &stun.Message{Raw: b[:n:n]}
			if err != nil || m.Decode() != nil {
				continue
			}
			u := from.(*net.UDPAddr)
			answer := stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
				&stun.XORMappedAddress{IP: u.IP, Port: u.Port})
			_, _ = conn.WriteTo(answer.Raw, from)
		}
	}()
	return conn.LocalAddr().String()
}

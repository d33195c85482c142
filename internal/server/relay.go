package server

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"belfry.live/belfry/internal/meeting/port"
	"belfry.live/belfry/internal/meeting/signal"
	"belfry.live/belfry/internal/meeting/turn"
)

// openTURNSecret opens the secret that TURN credentials are made with.
func openTURNSecret(path string) (turn.Secret, error) {
	secret, err := openSecret(path)
	if err != nil {
		return turn.Secret{}, fmt.Errorf("TURN secret: %w", err)
	}
	return turn.NewSecret(secret[:]), nil
}

// newRelay returns the TURN server in front of the media port. secure is the
// host and port under which clients reach TURN over TLS (empty: nowhere).
func newRelay(p *port.Port, secret turn.Secret, secure string, log *slog.Logger) *turn.Server {
	return turn.New(turn.Config{
		Media: p,
		Peers: func() []netip.AddrPort { return udpCandidates(p, log) },
		URIs: func() []string {
			return relayURIs(udpCandidates(p, log), p.PublicAddresses(), secure)
		},
		Secret: secret,
	}, log)
}

// udpCandidates are the addresses under which the media port takes datagrams.
func udpCandidates(p *port.Port, log *slog.Logger) []netip.AddrPort {
	list, err := p.Candidates()
	if err != nil {
		log.Warn("media candidates", "err", err)
	}
	var addrs []netip.AddrPort
	for _, c := range list {
		if !c.TCP {
			addrs = append(addrs, c.Addr)
		}
	}
	return addrs
}

// maxRelayHosts bounds the hosts that clients are told: a browser asks each
// for an allocation, from each of its interfaces.
const maxRelayHosts = 4

// relayURIs say where clients reach TURN (RFC 7065). Where there are public
// addresses of a family the others are of no use to those who need TURN.
func relayURIs(candidates []netip.AddrPort, public []netip.Addr, secure string) []string {
	var uris []string
	for _, c := range candidates {
		sameFamily := func(a netip.Addr) bool { return a.Is4() == c.Addr().Is4() }
		if slices.ContainsFunc(public, sameFamily) && !slices.Contains(public, c.Addr()) {
			continue
		}
		uris = append(uris, "turn:"+c.String()+"?transport=udp", "turn:"+c.String()+"?transport=tcp")
		if len(uris) >= 2*maxRelayHosts {
			break
		}
	}
	if secure != "" {
		uris = append(uris, "turns:"+secure+"?transport=tcp")
	}
	return uris
}

// secureRelay is the host and port of TURN over TLS: those of the public URL,
// which lead to the TLS port if it is an https one, or else those listened on
// with the first candidate's host.
func secureRelay(l net.Listener, public *url.URL, configured bool, candidates []netip.AddrPort) string {
	if l == nil {
		return ""
	}
	host, port := public.Hostname(), fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	switch {
	case configured && public.Scheme == "https":
		port = public.Port()
		if port == "" {
			port = "443"
		}
	case !configured && len(candidates) > 0:
		host = candidates[0].Addr().String()
	}
	return net.JoinHostPort(host, port)
}

// relayPolicy is the setting relay, checked before.
func relayPolicy(setting string) signal.Relay {
	switch setting {
	case "always":
		return signal.RelayAlways
	case "never":
		return signal.RelayNever
	}
	return signal.RelayAuto
}

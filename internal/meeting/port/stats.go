package port

// A Reason says why a datagram or a connection was not used.
type Reason int

// The reasons.
const (
	Malformed      Reason = iota // nothing that belongs on a media port
	UnknownAddress               // media from where no client has been heard
	UnknownUser                  // a check for nobody here
	WrongPassword                // a check by somebody else
	TooManyChecks                // more checks than a client needs
	AddressTaken                 // a check from where another client is
	TooLong                      // longer than MaxPacket
	NoTURN                       // TURN, and no server for it
	TURNStranger                 // channel data of one without allocation
	TURNFull                     // the TURN server does not keep up
	NoRoute                      // injected without a way back
	TCPRefused                   // too many connections
	TCPSilent                    // a connection that proved nothing in time
	TCPFull                      // the client takes no more
	SendFailed                   // the kernel did not take it
	reasons
)

var reasonNames = [reasons]string{
	Malformed:      "malformed",
	UnknownAddress: "unknown_address",
	UnknownUser:    "unknown_user",
	WrongPassword:  "wrong_password",
	TooManyChecks:  "too_many_checks",
	AddressTaken:   "address_taken",
	TooLong:        "too_long",
	NoTURN:         "no_turn",
	TURNStranger:   "turn_stranger",
	TURNFull:       "turn_full",
	NoRoute:        "no_route",
	TCPRefused:     "tcp_refused",
	TCPSilent:      "tcp_silent",
	TCPFull:        "tcp_full",
	SendFailed:     "send_failed",
}

func (r Reason) String() string { return reasonNames[r] }

// Stats count since the port was opened.
type Stats struct {
	Flows    int    // now
	TCP      int    // connections, now
	Packets  uint64 // sent from queues
	Messages uint64 // they went out in: packets of one length to one client
	Batches  uint64 // these were collected in
	Bytes    uint64 // of these packets
	Dropped  map[string]uint64
}

// Stats returns the counters.
func (p *Port) Stats() Stats {
	s := Stats{Dropped: make(map[string]uint64, reasons)}
	for r := range reasons {
		s.Dropped[r.String()] = p.counts[r].Load()
	}
	for _, sender := range p.senders {
		s.Packets += sender.packets.Load()
		s.Bytes += sender.bytes.Load()
		s.Messages += sender.messages.Load()
		s.Batches += sender.batches.Load()
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	s.Flows, s.TCP = len(p.flows), len(p.conns)
	return s
}

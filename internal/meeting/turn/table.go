package turn

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v4"
)

// add gives the allocation its relayed address and lets media through.
func (s *Server) add(a *allocation, v6 bool) error {
	if err := s.enter(a, v6); err != nil {
		return err
	}
	s.counters.made.Add(1)
	remove := s.cfg.Media.Route(a.relayed, func(b []byte) error {
		s.toClient(a, b, time.Now())
		return nil
	})
	if !a.routed(remove) {
		remove()
	}
	return nil
}

// enter puts the allocation into the tables, within the limits.
func (s *Server) enter(a *allocation, v6 bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.attendees[a.attendee] >= s.limits.AllocationsPerAttendee:
		return failure(stun.CodeAllocQuotaReached)
	case len(s.allocations) >= s.limits.Allocations:
		return failure(stun.CodeInsufficientCapacity)
	}
	a.relayed = s.relayed.take(v6)
	if s.allocations[a.relayed] != nil {
		return failure(stun.CodeInsufficientCapacity)
	}
	s.allocations[a.relayed] = a
	s.attendees[a.attendee]++
	if !a.client.stream() {
		s.datagrams[a.client.address()] = a
	}
	return nil
}

// remove forgets the allocation; it is harmless when that has happened.
func (s *Server) remove(a *allocation) {
	s.mu.Lock()
	known := s.allocations[a.relayed] == a
	if known {
		delete(s.allocations, a.relayed)
		if !a.client.stream() {
			delete(s.datagrams, a.client.address())
		}
		if s.attendees[a.attendee]--; s.attendees[a.attendee] == 0 {
			delete(s.attendees, a.attendee)
		}
	}
	s.mu.Unlock()
	if known {
		a.end()
	}
}

// all returns the allocations there are.
func (s *Server) all() []*allocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.allocations))
}

// datagramAllocation returns the allocation of the client that speaks UDP.
func (s *Server) datagramAllocation(addr netip.AddrPort) *allocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.datagrams[addr]
}

var errTooManyWaiting = errors.New("too many connections without allocation")

// await counts a connection that has no allocation.
func (s *Server) await(addr netip.Addr) error {
	addr = block(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waitingAll >= s.limits.Waiting || s.waiting[addr] >= s.limits.WaitingPerAddress {
		return errTooManyWaiting
	}
	s.waitingAll++
	s.waiting[addr]++
	return nil
}

// arrived takes back await.
func (s *Server) arrived(addr netip.Addr) {
	addr = block(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waitingAll--
	if s.waiting[addr]--; s.waiting[addr] == 0 {
		delete(s.waiting, addr)
	}
}

package load

import (
	"testing"
	"time"
)

// An arrival is a packet of 20 ms and when it comes.
type arrival struct {
	sequence uint16
	at       time.Duration
}

// steady gives packets that come when they are due.
func steady(from, n int) []arrival {
	var list []arrival
	for i := from; i < from+n; i++ {
		list = append(list, arrival{uint16(i), time.Duration(i) * packetTime})
	}
	return list
}

func join(lists ...[]arrival) []arrival {
	var all []arrival
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func TestEarHears(t *testing.T) {
	const ms = time.Millisecond
	late := steady(100, 1)
	late[0].at += 150 * ms // and what waited behind it
	burst := steady(101, 7)
	for i := range burst {
		burst[i].at = late[0].at
	}
	for _, tc := range []struct {
		name       string
		packets    []arrival
		end        time.Duration // 0: at the last packet
		gaps, lost int
	}{
		{"steady", steady(0, 200), 0, 0, 0},
		{"over the end of the numbers", steady(65500, 200), 0, 0, 0},
		{"some lost there", join(steady(65500, 35), steady(65537, 10), steady(65548, 300)), 0, 2, 3},
		{"late by half a second", join(steady(0, 100), steady(101, 25), steady(100, 1), steady(126, 100)), 0, 0, 0},
		{"one lost", join(steady(0, 100), steady(101, 100)), 0, 1, 1},
		{"three in a row lost", join(steady(0, 100), steady(103, 100)), 0, 1, 3},
		{"two apart lost", join(steady(0, 100), steady(101, 1), steady(103, 100)), 0, 2, 2},
		{"seven in a row lost are one gap", join(steady(0, 100), steady(107, 100)), 0, 1, 7},
		{"late by 150 ms", join(steady(0, 100), late, burst, steady(108, 100)), 0, 1, 0},
		{"in another order", join(steady(0, 100), steady(101, 1), steady(100, 1), steady(102, 100)), 0, 0, 0},
		{"stopped", steady(0, 100), 99*packetTime + 600*ms, 1, 0},
		{"lost at the end", join(steady(0, 100), steady(101, 5)), 0, 1, 1},
		{"a jump", join(steady(0, 100), steady(1100, 100)), 0, 1, 1000},
		{"nothing", nil, time.Second, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var e ear
			start := time.Now()
			at := start
			for _, p := range tc.packets {
				at = start.Add(p.at)
				e.hear(p.sequence, uint32(p.sequence)*960, 10, at)
			}
			if tc.end > 0 {
				at = start.Add(tc.end)
			}
			got := e.finish(at)
			if got.Gaps != tc.gaps || got.Lost != tc.lost {
				t.Errorf("got %d gaps, %d lost, want %d, %d", got.Gaps, got.Lost, tc.gaps, tc.lost)
			}
			if got.Packets != len(tc.packets) {
				t.Errorf("got %d packets, want %d", got.Packets, len(tc.packets))
			}
		})
	}
}

func TestEarKnowsHowLatePacketsAre(t *testing.T) {
	var e ear
	start := time.Now()
	for i := range 100 {
		at := start.Add(time.Duration(i) * packetTime)
		if i%10 == 9 {
			at = at.Add(15 * time.Millisecond)
		}
		e.hear(uint16(i), uint32(i)*960, 10, at)
	}
	if got := spread(e.Delays[:]); got.P50 != 0 || got.P99 != 15 || got.Max != 15 {
		t.Errorf("got %+v, want 0, 15 and 15 ms", got)
	}
}

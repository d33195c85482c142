package allot

import (
	"cmp"
	"slices"
)

// ladder returns the options of a tile that are worth choosing, by bitrate,
// each better than the one before in the eyes of the tile's preference. The
// limit takes away what is more than enough, but never all.
func ladder(t *Tile) []int {
	list := make([]int, 0, len(t.Options))
	for i := range t.Options {
		if t.Options[i].Bitrate > 0 {
			list = append(list, i)
		}
	}
	by := func(a, b int) int {
		x, y := &t.Options[a], &t.Options[b]
		return cmp.Or(cmp.Compare(x.Bitrate, y.Bitrate), cmp.Compare(y.Height, x.Height), cmp.Compare(y.FrameRate, x.FrameRate))
	}
	slices.SortStableFunc(list, by)
	if t.Limit > 0 {
		enough := 0
		for enough < len(list) && (enough == 0 || float64(t.Options[list[enough]].Bitrate) <= float64(t.Limit)*limitSlack) {
			enough++
		}
		list = list[:enough]
	}
	list = prefer(t, list)
	kept := list[:0]
	for _, i := range list {
		if len(kept) == 0 || better(&t.Options[i], &t.Options[kept[len(kept)-1]]) {
			kept = append(kept, i)
		}
	}
	return kept
}

// prefer leaves out options that give up what is to be kept, unless they are
// cheaper than all that keep it.
func prefer(t *Tile, list []int) []int {
	var keeps func(o *Option) bool
	switch t.Preference {
	case FrameRate:
		most := 0.0
		for _, i := range list {
			most = max(most, t.Options[i].FrameRate)
		}
		keeps = func(o *Option) bool { return o.FrameRate >= most*sameRate }
	case Resolution:
		most := 0
		for _, i := range list {
			most = max(most, t.Options[i].Height)
		}
		keeps = func(o *Option) bool { return float64(o.Height) >= float64(most)*sameRate }
	default:
		return list
	}
	first := slices.IndexFunc(list, func(i int) bool { return keeps(&t.Options[i]) })
	kept := list[:0]
	for n, i := range list {
		if n < first || keeps(&t.Options[i]) {
			kept = append(kept, i)
		}
	}
	return kept
}

// better says whether a shows more than b, in size or in frames. What is not
// known yet is taken to be better for its bitrate.
func better(a, b *Option) bool {
	if a.Height == 0 || b.Height == 0 {
		return true
	}
	return a.Width*a.Height > b.Width*b.Height || a.FrameRate > b.FrameRate/sameRate
}

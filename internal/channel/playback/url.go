package playback

import (
	"strings"

	"belfry.live/belfry/internal/channel"
)

// Root is the path under which a Handler serves, and must be mounted.
const Root = "/api/video/v1/"

// Name returns the name of a channel's playback path:
// <region>.<account>.channel.<id>.
func Name(region, account string, id channel.ID) string {
	return region + "." + account + ".channel." + string(id)
}

// Path returns the path of a channel's multivariant playlist. It ends in
// .m3u8, by which players know it.
func Path(region, account string, id channel.ID) string {
	return Root + Name(region, account, id) + ".m3u8"
}

// ARN names the channel, as tokens do.
func ARN(region, account string, id channel.ID) string {
	return "arn:aws:ivs:" + region + ":" + account + ":channel/" + string(id)
}

// parseName takes a Name apart.
func parseName(name string) (region, account string, id channel.ID, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 4 || parts[2] != "channel" {
		return "", "", "", false
	}
	return parts[0], parts[1], channel.ID(parts[3]), true
}

// A target is what a request's path names.
type target struct {
	region, account string
	id              channel.ID

	// All empty: the multivariant playlist.
	run       string
	session   string // "": none
	rendition string
	file      string // "": the rendition's playlist
}

// sessionMark begins the element of a path that is a session. No rendition's
// name begins with it.
const sessionMark = "~"

// parsePath takes apart, below Root:
//
//	<name>.m3u8                     multivariant playlist
//	<name>/<run>/<rendition>.m3u8   media playlist
//	<name>/<run>/<rendition>/<file> init<n>.mp4, <n>.m4s, <n>.<part>.m4s
//
// Behind the run there may be one element more, ~<session>. It is in the path
// so that the links of a media playlist, which are relative to it and the same
// for everybody, lead to where the session is.
func parsePath(path string) (t target, ok bool) {
	rest, ok := strings.CutPrefix(path, Root)
	if !ok {
		return target{}, false
	}
	parts := strings.Split(rest, "/")
	if len(parts) > 2 && strings.HasPrefix(parts[2], sessionMark) {
		t.session = parts[2][len(sessionMark):]
		parts = append(parts[:2], parts[3:]...)
		if t.session == "" {
			return target{}, false
		}
	}
	last := len(parts) - 1
	switch last {
	case 0:
		parts[0], ok = strings.CutSuffix(parts[0], ".m3u8")
	case 2:
		t.run = parts[1]
		t.rendition, ok = strings.CutSuffix(parts[2], ".m3u8")
	case 3:
		t.run, t.rendition, t.file = parts[1], parts[2], parts[3]
		ok = t.file != ""
	default:
		ok = false
	}
	if !ok || last > 0 && (t.run == "" || t.rendition == "") {
		return target{}, false
	}
	t.region, t.account, t.id, ok = parseName(parts[0])
	return t, ok
}

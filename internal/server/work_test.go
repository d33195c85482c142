package server

import "testing"

func TestOurOwnIngestIsDialledDirectly(t *testing.T) {
	w := work{ingestHost: "live.example", rtmp: "127.0.0.1:1935", rtmps: "127.0.0.1:1936"}
	for sink, want := range map[string]string{
		"rtmps://live.example:443/app/sk":  w.rtmps,
		"rtmps://LIVE.example/app/sk":      w.rtmps,
		"rtmps://live.example:1936/app/sk": w.rtmps,
		"rtmp://live.example/app/sk":       w.rtmp,
		"rtmp://live.example:1935/app/sk":  w.rtmp,
		"rtmp://live.example:443/app/sk":   "",
		"rtmps://live.example:444/app/sk":  "",
		"rtmps://other.example:443/app/sk": "",
		"rtmps://:443/app/sk":              "",
		"::":                               "",
	} {
		if got := w.ownIngest(sink); got != want {
			t.Errorf("%s: got %q, want %q", sink, got, want)
		}
	}
}

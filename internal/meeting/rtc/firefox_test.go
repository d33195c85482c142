package rtc

import (
	"os"
	"path/filepath"
	"testing"
)

// firefoxSettings give the page a camera and a microphone. Firefox connects to
// the machine it runs on, but not by loopback.
const firefoxSettings = `
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.autoplay.default", 0);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
`

// The other browser that is no Chromium.
func TestFirefox(t *testing.T) {
	type codec struct {
		browserVideo
		Lossy browserVideo
	}
	var got struct {
		VP8, VP9, AV1 codec
		Sections      int
		Server        Stats
	}
	s := browseIn(t, "firefox-esr", machineIP(t), "firefox", &got, func(profile, url string) []string {
		if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxSettings), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"--headless", "--no-remote", "--profile", profile, url}
	})
	for name, c := range map[string]codec{"VP8": got.VP8, "VP9": got.VP9, "AV1": got.AV1} {
		c.check(t, name, name)
		c.Lossy.check(t, name+" with loss", name)
	}
	if got.Sections != 3 {
		t.Errorf("sections after recycling: got %d, want 3", got.Sections)
	}
	if got.Server.AudioReceived < 50 {
		t.Errorf("audio of the client: got %d packets, want more than 50", got.Server.AudioReceived)
	}
	if s.relay.lost.Load() == 0 {
		t.Error("the network has lost nothing")
	}
}

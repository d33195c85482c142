package clients

import (
	"os"
	"os/exec"
	"testing"

	"belfry.live/belfry/test/apiserver"
)

// TestJavaScript runs the official JavaScript clients, set up by the
// environment alone as `belfry env` prints it.
func TestJavaScript(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node program")
	}
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("the clients are not installed: run npm ci in test/clients")
	}
	for name, suffix := range map[string]string{"endpoint": "", "endpoint that ends in a slash": "/"} {
		t.Run(name, func(t *testing.T) {
			s := apiserver.Start(t, apiserver.Config{})
			endpoint := s.URL + suffix
			cmd := exec.CommandContext(t.Context(), node, "--test", "--test-reporter=spec", "clients.test.mjs")
			cmd.Env = append(os.Environ(),
				"AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS="+endpoint,
				"AWS_ENDPOINT_URL_CHIME_SDK_MEDIA_PIPELINES="+endpoint,
				"AWS_ENDPOINT_URL_IVS="+endpoint,
				"AWS_ACCESS_KEY_ID="+apiserver.AccessKeyID,
				"AWS_SECRET_ACCESS_KEY="+apiserver.Secret,
				"AWS_REGION="+apiserver.Region,
			)
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Errorf("node: %v", err)
			}
		})
	}
}

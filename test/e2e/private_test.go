package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
)

// sign makes a token as the owner of a channel does, by RFC 7515 and 7518
// alone.
func sign(t *testing.T, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"ES384","typ":"JWT"}`)) + "." + b64(payload)
	sum := sha512.Sum384([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 96)
	r.FillBytes(signature[:48])
	s.FillBytes(signature[48:])
	return text + "." + b64(signature)
}

// load loads a URL.
func load(t *testing.T, u string) (status int, text string) {
	t.Helper()
	answer, err := http.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// TestAPrivateChannel goes the way of somebody who sells seats: a key pair, a
// private channel, an encoder, a token for each viewer, and one who is thrown
// out while watching.
func TestAPrivateChannel(t *testing.T) {
	s := start(t)
	owner, err := s.Access()
	if err != nil {
		t.Fatal(err)
	}
	client, ctx := s.channels(accessKey{owner.AccessKeyID, owner.SecretAccessKey, ""}), t.Context()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.ImportPlaybackKeyPair(ctx, &ivs.ImportPlaybackKeyPairInput{
		PublicKeyMaterial: aws.String(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))),
	}); err != nil {
		t.Fatal(err)
	}
	made, err := client.CreateChannel(ctx, &ivs.CreateChannelInput{Authorized: true, InsecureIngest: true})
	if err != nil {
		t.Fatal(err)
	}
	arn, playback := *made.Channel.Arn, *made.Channel.PlaybackUrl

	encoder := exec.CommandContext(ctx, "ffmpeg", strings.Fields("-hide_banner -loglevel error -re "+
		"-f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000 "+
		"-c:v libx264 -preset ultrafast -tune zerolatency -threads 1 -pix_fmt yuv420p -g 60 -c:a aac -b:a 64k -f flv "+
		"rtmp://"+s.where("rtmp")+"/app/"+*made.StreamKey.Value)...)
	if err := encoder.Start(); err != nil {
		t.Fatal(err)
	}
	defer encoder.Wait()
	defer encoder.Process.Kill()
	until(t, 15*time.Second, "the channel is live", func() bool {
		_, err := client.GetStream(ctx, &ivs.GetStreamInput{ChannelArn: &arn})
		return err == nil
	})

	if status, body := load(t, playback); status != http.StatusForbidden || !strings.Contains(body, "playback_auth_error") {
		t.Errorf("without a token: got %d %s, want 403 and playback_auth_error", status, body)
	}
	begin := func(claims map[string]any) string {
		claims["aws:channel-arn"] = arn
		return playback + "?token=" + sign(t, key, claims)
	}
	// In milliseconds, as AWS's own sample writes it.
	anybody := begin(map[string]any{"exp": time.Now().Add(time.Hour).UnixMilli(), "aws:access-control-allow-origin": "*"})
	seen := watch(t, anybody, 3*time.Second)
	if len(seen.pictures) < 60 || len(seen.sound) < 2*48000 {
		t.Errorf("ffmpeg got %d pictures and %d samples of sound, want 3 s", len(seen.pictures), len(seen.sound))
	}

	viewer := begin(map[string]any{"exp": time.Now().Add(5 * time.Minute).Unix(), "aws:viewer-id": "eve", "aws:single-use-uuid": "66a4cbdb-f6f8-42f8-a6d1-bb9c0e20e0b0"})
	status, text := load(t, viewer)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	base, err := url.Parse(playback)
	if status != http.StatusOK || err != nil {
		t.Fatalf("got %d %s, %v", status, text, err)
	}
	variant, err := base.Parse(lines[len(lines)-1])
	if err != nil {
		t.Fatal(err)
	}
	if status, body := load(t, viewer); status != http.StatusForbidden {
		t.Errorf("the token a second time: got %d %s, want 403", status, body)
	}
	if status, body := load(t, variant.String()); status != http.StatusOK {
		t.Errorf("the viewer's playlist: got %d %s", status, body)
	}
	if _, err := client.StartViewerSessionRevocation(ctx, &ivs.StartViewerSessionRevocationInput{ChannelArn: &arn, ViewerId: aws.String("eve")}); err != nil {
		t.Fatal(err)
	}
	if status, body := load(t, variant.String()); status != http.StatusForbidden {
		t.Errorf("the viewer's playlist after the revocation: got %d %s, want 403", status, body)
	}

	// What was used and who was thrown out is known after kill -9 too.
	s.Kill()
	s.run()
	again := s.Endpoint + strings.TrimPrefix(viewer, base.Scheme+"://"+base.Host)
	if status, body := load(t, again); status != http.StatusForbidden || !strings.Contains(body, "ended") {
		t.Errorf("the revoked viewer after kill -9: got %d %s, want 403", status, body)
	}
}

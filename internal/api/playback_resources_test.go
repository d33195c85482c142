package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
)

func publicKey(t *testing.T, curve elliptic.Curve) *string {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return aws.String(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
}

func TestPlaybackKeyPairs(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	material := publicKey(t, elliptic.P384())
	imported, err := c.channels.ImportPlaybackKeyPair(ctx, &ivs.ImportPlaybackKeyPairInput{
		PublicKeyMaterial: material, Name: aws.String("viewers"), Tags: map[string]string{"a": "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := imported.KeyPair.Arn
	if !regexp.MustCompile(`^arn:aws:ivs:us-east-1:123456789012:playback-key/[A-Za-z0-9]{12}$`).MatchString(aws.ToString(arn)) ||
		!regexp.MustCompile(`^([0-9a-f]{2}:){15}[0-9a-f]{2}$`).MatchString(aws.ToString(imported.KeyPair.Fingerprint)) {
		t.Errorf("got %+v, want an ARN and a fingerprint of 16 pairs", imported.KeyPair)
	}
	got, err := c.channels.GetPlaybackKeyPair(ctx, &ivs.GetPlaybackKeyPairInput{Arn: arn})
	if err != nil || aws.ToString(got.KeyPair.Fingerprint) != aws.ToString(imported.KeyPair.Fingerprint) || aws.ToString(got.KeyPair.Name) != "viewers" || got.KeyPair.Tags["a"] != "b" {
		t.Errorf("GetPlaybackKeyPair: got %+v, %v, want it as imported", got, err)
	}
	_, err = c.channels.ImportPlaybackKeyPair(ctx, &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: material})
	as[*types.ConflictException](t, err)
	checkError(t, err, http.StatusConflict, "ConflictException", "imported before")
	for _, wrong := range []*string{aws.String("no key"), publicKey(t, elliptic.P256())} {
		_, err = c.channels.ImportPlaybackKeyPair(ctx, &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: wrong})
		checkError(t, err, http.StatusBadRequest, "ValidationException", "publicKeyMaterial")
	}
	for range 2 {
		if _, err := c.channels.ImportPlaybackKeyPair(ctx, &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: publicKey(t, elliptic.P384())}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.channels.ImportPlaybackKeyPair(ctx, &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: publicKey(t, elliptic.P384())})
	checkError(t, err, http.StatusPaymentRequired, "ServiceQuotaExceededException", "3")
	count, pages := 0, 0
	for pager := ivs.NewListPlaybackKeyPairsPaginator(c.channels, &ivs.ListPlaybackKeyPairsInput{MaxResults: aws.Int32(2)}); pager.HasMorePages(); pages++ {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		count += len(page.KeyPairs)
	}
	if count != 3 || pages != 2 {
		t.Errorf("got %d key pairs on %d pages, want 3 on 2", count, pages)
	}
	if _, err := c.channels.DeletePlaybackKeyPair(ctx, &ivs.DeletePlaybackKeyPairInput{Arn: arn}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		second(c.channels.DeletePlaybackKeyPair(ctx, &ivs.DeletePlaybackKeyPairInput{Arn: arn})),
		second(c.channels.GetPlaybackKeyPair(ctx, &ivs.GetPlaybackKeyPairInput{Arn: arn})),
	} {
		checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "playback key pair not found")
	}
}

func TestPlaybackRestrictionPolicies(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	made, err := c.channels.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{
		Name: aws.String("p"), AllowedOrigins: []string{"https://example.com", "https://*.example.org"},
		EnableStrictOriginEnforcement: aws.Bool(true), Tags: map[string]string{"a": "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := made.PlaybackRestrictionPolicy.Arn
	got, err := c.channels.GetPlaybackRestrictionPolicy(ctx, &ivs.GetPlaybackRestrictionPolicyInput{Arn: arn})
	if p := got.PlaybackRestrictionPolicy; err != nil || !slices.Equal(p.AllowedOrigins, []string{"https://example.com", "https://*.example.org"}) ||
		p.EnableStrictOriginEnforcement == nil || !*p.EnableStrictOriginEnforcement || p.AllowedCountries == nil || p.Tags["a"] != "b" {
		t.Errorf("got %+v, %v, want it as made", got.PlaybackRestrictionPolicy, err)
	}
	changed, err := c.channels.UpdatePlaybackRestrictionPolicy(ctx, &ivs.UpdatePlaybackRestrictionPolicyInput{Arn: arn, AllowedOrigins: []string{}})
	if p := changed.PlaybackRestrictionPolicy; err != nil || len(p.AllowedOrigins) != 0 || aws.ToString(p.Name) != "p" || !*p.EnableStrictOriginEnforcement {
		t.Errorf("update: got %+v, %v, want no origins and the rest as it was", changed.PlaybackRestrictionPolicy, err)
	}
	_, err = c.channels.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{AllowedCountries: []string{"DE"}})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "allowedCountries: must be empty")
	_, err = c.channels.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{AllowedOrigins: []string{"no origin"}})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "allowedOrigins")
	_, err = c.channels.UpdatePlaybackRestrictionPolicy(ctx, &ivs.UpdatePlaybackRestrictionPolicyInput{Arn: arn, AllowedCountries: []string{"DE"}})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "allowedCountries: must be empty")
	for range 2 {
		if _, err := c.channels.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.channels.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{})
	as[*types.ServiceQuotaExceededException](t, err)
	count, pages := 0, 0
	for pager := ivs.NewListPlaybackRestrictionPoliciesPaginator(c.channels, &ivs.ListPlaybackRestrictionPoliciesInput{}); pager.HasMorePages(); pages++ {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		count += len(page.PlaybackRestrictionPolicies)
	}
	if count != 3 || pages != 3 {
		t.Errorf("got %d policies on %d pages, want 3 on 3: AWS's default is a page of one", count, pages)
	}
	if _, err := c.channels.DeletePlaybackRestrictionPolicy(ctx, &ivs.DeletePlaybackRestrictionPolicyInput{Arn: arn}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		second(c.channels.DeletePlaybackRestrictionPolicy(ctx, &ivs.DeletePlaybackRestrictionPolicyInput{Arn: arn})),
		second(c.channels.GetPlaybackRestrictionPolicy(ctx, &ivs.GetPlaybackRestrictionPolicyInput{Arn: arn})),
		second(c.channels.UpdatePlaybackRestrictionPolicy(ctx, &ivs.UpdatePlaybackRestrictionPolicyInput{Arn: arn})),
	} {
		checkError(t, err, http.StatusNotFound, "ResourceNotFoundException", "policy not found")
	}
}

func TestViewerSessionRevocation(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	ch, _ := c.newChannel(t, &ivs.CreateChannelInput{})
	unknown := aws.String("arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl")
	revoke := func(arn *string, viewer string) error {
		return second(c.channels.StartViewerSessionRevocation(ctx, &ivs.StartViewerSessionRevocationInput{
			ChannelArn: arn, ViewerId: aws.String(viewer), ViewerSessionVersionsLessThanOrEqualTo: 3,
		}))
	}
	if err := revoke(ch.Arn, "alice@example.com"); err != nil {
		t.Error(err)
	}
	checkError(t, revoke(unknown, "alice"), http.StatusNotFound, "ResourceNotFoundException", "channel not found")
	checkError(t, revoke(ch.Arn, strings.Repeat("a", 41)), http.StatusBadRequest, "ValidationException", "viewerId must have 1 to 40 characters, got 41")
	pair := func(arn *string, viewer string) types.BatchStartViewerSessionRevocationViewerSession {
		return types.BatchStartViewerSessionRevocationViewerSession{ChannelArn: arn, ViewerId: aws.String(viewer)}
	}
	out, err := c.channels.BatchStartViewerSessionRevocation(ctx, &ivs.BatchStartViewerSessionRevocationInput{
		ViewerSessions: []types.BatchStartViewerSessionRevocationViewerSession{pair(ch.Arn, "a"), pair(unknown, "b"), pair(ch.Arn, "c")},
	})
	if err != nil || len(out.Errors) != 1 || aws.ToString(out.Errors[0].ViewerId) != "b" || aws.ToString(out.Errors[0].Code) != "ResourceNotFoundException" {
		t.Errorf("got %+v, %v, want an error for the unknown channel alone", out, err)
	}
	_, err = c.channels.BatchStartViewerSessionRevocation(ctx, &ivs.BatchStartViewerSessionRevocationInput{
		ViewerSessions: slices.Repeat([]types.BatchStartViewerSessionRevocationViewerSession{pair(ch.Arn, "a")}, 21),
	})
	checkError(t, err, http.StatusBadRequest, "ValidationException", "viewerSessions must have 1 to 20 items, got 21")
}

package ticket

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const testARN = "arn:aws:ivs:us-east-1:000000000000:channel/abcdefghijkl"

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// claim is one claim of a token that a test signs; a nil value takes it out.
type claim struct {
	name  string
	value any
}

// sign makes a token for testARN that expires in five minutes, with the claims
// given changed.
func sign(t testing.TB, key any, method jwt.SigningMethod, changed ...claim) string {
	t.Helper()
	return signHeader(t, key, method, nil, changed...)
}

func signHeader(t testing.TB, key any, method jwt.SigningMethod, header map[string]any, changed ...claim) string {
	t.Helper()
	c := jwt.MapClaims{"aws:channel-arn": testARN, "exp": now.Add(5 * time.Minute).Unix()}
	for _, change := range changed {
		if c[change.name] = change.value; change.value == nil {
			delete(c, change.name)
		}
	}
	token := jwt.NewWithClaims(method, c)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestParseToken(t *testing.T) {
	private, public := newKey(t)
	_, other := newKey(t)
	text := sign(t, private, jwt.SigningMethodES384,
		claim{"aws:access-control-allow-origin", "https://example.com, https://*.example.org"},
		claim{"aws:strict-origin-enforcement", true},
		claim{"aws:single-use-uuid", "{66A4CBDB-F6F8-42F8-A6D1-BB9C0E20E0B0}"},
		claim{"aws:viewer-id", "böb"},
		claim{"aws:viewer-session-version", int64(1) << 60},
		claim{"aws:maximum-resolution", "HD"},
		claim{"aws:ads-config", "ignored"},
	)
	got, err := ParseToken(text, testARN, []PublicKey{other, public}, now)
	want := Token{
		Expires: got.Expires, Origins: "https://example.com,https://*.example.org", Strict: true,
		SingleUse: "66a4cbdb-f6f8-42f8-a6d1-bb9c0e20e0b0", ViewerID: "böb", Version: 1 << 60, MaxResolution: HD,
	}
	if err != nil || got != want || !got.Expires.Equal(now.Add(5*time.Minute)) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// TestParseTokenAccepts has what those who sign tokens really write.
func TestParseTokenAccepts(t *testing.T) {
	private, public := newKey(t)
	for _, c := range []struct {
		name   string
		claims []claim
	}{
		{"plain", nil},
		{"milliseconds", []claim{{"exp", now.Add(time.Hour).UnixMilli()}}},
		{"a fraction", []claim{{"exp", float64(now.Unix()) + 59.5}}},
		{"issued now", []claim{{"iat", now.Unix()}, {"nbf", now.Unix()}}},
		{"another's clock", []claim{{"nbf", now.Add(ClockSkew).Unix()}}},
		{"origins that are none", []claim{{"aws:access-control-allow-origin", ""}}},
		{"every origin", []claim{{"aws:access-control-allow-origin", "*"}, {"aws:strict-origin-enforcement", false}}},
		{"many origins without strictness", []claim{{"aws:access-control-allow-origin", strings.Repeat("https://a.example,", 20)}}},
		{"viewer, as late as may be", []claim{{"aws:viewer-id", "bob"}, {"exp", now.Add(TokenLead).Unix()}}},
		{"longest viewer", []claim{{"aws:viewer-id", strings.Repeat("ü", 40)}}},
	} {
		if _, err := ParseToken(sign(t, private, jwt.SigningMethodES384, c.claims...), testARN, []PublicKey{public}, now); err != nil {
			t.Errorf("%s: got %v, want it accepted", c.name, err)
		}
	}
}

func TestParseTokenRefuses(t *testing.T) {
	private, public := newKey(t)
	stranger, _ := newKey(t)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	es384 := jwt.SigningMethodES384
	good := sign(t, private, es384)
	parts := strings.Split(good, ".")
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	with := func(changed ...claim) string { return sign(t, private, es384, changed...) }
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	// A signature by the right key over a header or claims that the library
	// would not write.
	raw := func(header, payload string) string {
		text := b64(header) + "." + b64(payload)
		signature, err := es384.Sign(text, private)
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	asn1, err := func() ([]byte, error) {
		sum := sha512.Sum384([]byte(parts[0] + "." + parts[1]))
		return ecdsa.SignASN1(rand.Reader, private, sum[:])
	}()
	if err != nil {
		t.Fatal(err)
	}
	const year = 365 * 24 * time.Hour
	for _, c := range []struct{ name, token, want string }{
		{"none at all", "", "a token is required"},
		{"no token", "hello", "cannot be read"},
		{"two parts", parts[0] + "." + parts[1], "cannot be read"},
		{"four parts", good + ".x", "cannot be read"},
		{"too long", good + strings.Repeat("A", MaxToken), "limit 2048"},
		{"padded", good + "==", "cannot be read"},

		{"no signature", parts[0] + "." + parts[1] + ".", "signature is of no known key"},
		{"alg none", sign(t, jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone), "signed with none, want ES384"},
		{"alg None", b64(`{"alg":"None","typ":"JWT"}`) + "." + parts[1] + ".", "algorithm is not known"},
		{"alg HS384 with the public key's PEM", sign(t, []byte(pemOf(t, &private.PublicKey)), jwt.SigningMethodHS384), "signed with HS384"},
		{"alg HS256 with the public key's DER", sign(t, der, jwt.SigningMethodHS256), "signed with HS256"},
		{"alg ES256", sign(t, p256, jwt.SigningMethodES256), "signed with ES256"},
		{"alg ES512 with the right key", es512(t, private), "signed with ES512"},
		{"alg missing", b64(`{"typ":"JWT"}`) + "." + parts[1] + "." + parts[2], "algorithm is not known"},
		{"alg a number", b64(`{"alg":384}`) + "." + parts[1] + "." + parts[2], "algorithm is not known"},
		{"header no object", b64(`[]`) + "." + parts[1] + "." + parts[2], "cannot be read"},
		{"a stranger's key", sign(t, stranger, es384), "no known key"},
		{"a stranger's key in the header", signHeader(t, stranger, es384, map[string]any{
			"jwk": map[string]string{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}, "jku": "https://evil.example/keys", "kid": "../../dev/null", "x5c": []string{"AA"},
		}), "no known key"},
		{"critical extension", signHeader(t, private, es384, map[string]any{"crit": []string{"b64"}, "b64": false}), "calls critical"},
		{"critical, empty", signHeader(t, private, es384, map[string]any{"crit": []string{}}), "calls critical"},
		{"another header under the signature", b64(`{"alg":"ES384","typ":"jwt"}`) + "." + parts[1] + "." + parts[2], "no known key"},
		{"other claims under the signature", parts[0] + "." + b64(`{"aws:channel-arn":"`+testARN+`","exp":4102444800}`) + "." + parts[2], "no known key"},
		{"signature cut", good[:len(good)-4], "no known key"},
		{"signature of zeros", parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 96)), "no known key"},
		{"signature in ASN.1", parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(asn1), "no known key"},
		{"HMAC where ES384 is said", hmacSigned(parts[0]+"."+parts[1], der), "no known key"},

		{"no channel", with(claim{"aws:channel-arn", nil}), "no claim aws:channel-arn"},
		{"another channel", with(claim{"aws:channel-arn", testARN[:len(testARN)-1] + "m"}), "another channel"},
		{"channels", with(claim{"aws:channel-arn", []string{testARN}}), "aws:channel-arn has the wrong type"},
		{"the channel's claim in other letters", with(claim{"aws:channel-arn", nil}, claim{"AWS:Channel-ARN", testARN}), "no claim aws:channel-arn"},
		{"claims null", raw(`{"alg":"ES384"}`, `null`), "no claim aws:channel-arn"},
		{"claims no object", raw(`{"alg":"ES384"}`, `"x"`), "cannot be read"},
		{"no expiry", with(claim{"exp", nil}), "expired"},
		{"expiry null", raw(`{"alg":"ES384"}`, `{"aws:channel-arn":"`+testARN+`","exp":null}`), "expired"},
		{"expiry in words", with(claim{"exp", "4102444800"}), "exp has the wrong type"},
		{"expired just now", with(claim{"exp", now.Unix()}), "expired"},
		{"expiry below zero", with(claim{"exp", -1e300}), "expired"},
		{"not yet", with(claim{"nbf", now.Add(time.Minute).Unix()}), "not valid yet"},
		{"origins no string", with(claim{"aws:access-control-allow-origin", []string{"a"}}), "allow-origin has the wrong type"},
		{"an origin that is none", with(claim{"aws:access-control-allow-origin", "https://a.com/path"}), "not of the form"},
		{"strict without origins", with(claim{"aws:strict-origin-enforcement", true}), "needs aws:access-control-allow-origin"},
		{"strict with six", with(claim{"aws:strict-origin-enforcement", true}, claim{"aws:access-control-allow-origin", "a,b,c,d,e,f"}), "6 origins, limit 5"},
		{"strict in words", with(claim{"aws:strict-origin-enforcement", "true"}), "wrong type"},
		{"single use, no UUID", with(claim{"aws:single-use-uuid", "x"}), "no UUID"},
		{"single use, empty", with(claim{"aws:single-use-uuid", ""}), "no UUID"},
		{"single use for a year", with(claim{"aws:single-use-uuid", "66a4cbdb-f6f8-42f8-a6d1-bb9c0e20e0b0"}, claim{"exp", now.Add(year).Unix()}), "single-use-uuid must expire within 10m0s"},
		{"single use, milliseconds", with(claim{"aws:single-use-uuid", "66a4cbdb-f6f8-42f8-a6d1-bb9c0e20e0b0"}, claim{"exp", now.UnixMilli()}), "single-use-uuid must expire within 10m0s"},
		{"viewer for eleven minutes", with(claim{"aws:viewer-id", "bob"}, claim{"exp", now.Add(11 * time.Minute).Unix()}), "viewer-id must expire within 10m0s"},
		{"viewer for ever", with(claim{"aws:viewer-id", "bob"}, claim{"exp", 1e300}), "viewer-id must expire within 10m0s"},
		{"viewer empty", with(claim{"aws:viewer-id", ""}), "0 characters, want 1 to 40"},
		{"viewer too long", with(claim{"aws:viewer-id", strings.Repeat("x", 41)}), "41 characters, want 1 to 40"},
		{"version a fraction", with(claim{"aws:viewer-session-version", 1.5}), "wrong type"},
		{"version too large", with(claim{"aws:viewer-session-version", 1e30}), "wrong type"},
		{"resolution unknown", with(claim{"aws:maximum-resolution", "4K"}), "none of SD, HD, FULL_HD"},
		{"resolution empty", with(claim{"aws:maximum-resolution", ""}), "none of SD, HD, FULL_HD"},
	} {
		got, err := ParseToken(c.token, testARN, []PublicKey{public}, now)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
		if got != (Token{}) {
			t.Errorf("%s: got %+v beside the error", c.name, got)
		}
	}
	if _, err := ParseToken(good, testARN, nil, now); err == nil {
		t.Error("a token was accepted without any key")
	}
	if _, err := ParseToken(good, testARN, []PublicKey{public}, now); err != nil {
		t.Errorf("the good one: %v", err) // else the table above shows nothing
	}
}

// es512 is a token that says ES512 and is signed like that, but with a key for
// ES384: the numbers of the signature are padded to the length they should have.
func es512(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	payload := fmt.Sprintf(`{"aws:channel-arn":%q,"exp":%d}`, testARN, now.Add(time.Minute).Unix())
	text := b64([]byte(`{"alg":"ES512"}`)) + "." + b64([]byte(payload))
	sum := sha512.Sum512([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 132)
	r.FillBytes(signature[:66])
	s.FillBytes(signature[66:])
	return text + "." + b64(signature)
}

// hmacSigned has the header of ES384 and a signature that is an HMAC.
func hmacSigned(text string, key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	signature := mac.Sum(nil)
	return text + "." + base64.RawURLEncoding.EncodeToString(append(signature, make([]byte, 64)...))
}

func BenchmarkParseToken(b *testing.B) {
	private, public := newKey(b)
	text := sign(b, private, jwt.SigningMethodES384, claim{"aws:viewer-id", "bob"})
	for b.Loop() {
		if _, err := ParseToken(text, testARN, []PublicKey{public}, now); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	private, public := newKey(f)
	f.Add(`{"alg":"ES384","typ":"JWT"}`, `{"aws:channel-arn":"`+testARN+`","exp":4102444800}`)
	f.Add(`{"alg":"ES384"}`, `{"aws:channel-arn":"`+testARN+`","exp":4102444800000,"aws:access-control-allow-origin":"https://*.a.b, c","aws:strict-origin-enforcement":true}`)
	f.Add(`{"alg":"ES384","crit":["b64"]}`, `{"aws:channel-arn":"`+testARN+`","exp":1772600999,"aws:viewer-id":"bob","aws:viewer-session-version":3}`)
	f.Add(`{"alg":"none"}`, `{"aws:single-use-uuid":"66a4cbdb-f6f8-42f8-a6d1-bb9c0e20e0b0","aws:maximum-resolution":"SD"}`)
	f.Add(`{"alg":{}}`, `null`)
	f.Add(`[]`, `{"exp":1e999}`)
	keys := []PublicKey{public}
	f.Fuzz(func(t *testing.T, header, payload string) {
		text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
		signature, err := jwt.SigningMethodES384.Sign(text, private)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseToken(text+".AAAA", testARN, keys, now); err == nil {
			t.Errorf("accepted without a signature: %s %s", header, payload)
		}
		token, err := ParseToken(text+"."+base64.RawURLEncoding.EncodeToString(signature), testARN, keys, now)
		if err != nil {
			if token != (Token{}) {
				t.Errorf("got %+v beside the error %v", token, err)
			}
			return
		}
		var h, p map[string]any
		if json.Unmarshal([]byte(header), &h) != nil || h["alg"] != "ES384" || json.Unmarshal([]byte(payload), &p) != nil || p["aws:channel-arn"] != testARN {
			t.Errorf("accepted: %s %s", header, payload)
		}
		if !token.Expires.After(now) || len(token.ViewerID) > 4*MaxViewerID || token.Strict && token.Origins.Len() > MaxOrigins {
			t.Errorf("accepted as %+v: %s", token, payload)
		}
		if lead := token.Expires.Sub(now); (token.ViewerID != "" || token.SingleUse != "") && lead > TokenLead+ClockSkew {
			t.Errorf("accepted for %v: %s", lead, payload)
		}
	})
}

// FuzzParseTokenText has the fuzzer write the whole token.
func FuzzParseTokenText(f *testing.F) {
	private, public := newKey(f)
	f.Add(sign(f, private, jwt.SigningMethodES384))
	f.Add("a.b.c")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		// No fuzzer forges a signature: all that is accepted is the one seed,
		// and the key is another in every process.
		if token, err := ParseToken(text, testARN, []PublicKey{public}, now); err != nil && token != (Token{}) {
			t.Errorf("got %+v beside the error %v", token, err)
		}
	})
}

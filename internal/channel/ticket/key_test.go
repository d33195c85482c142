package ticket

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
)

// newKey makes a key pair on P-384.
func newKey(t testing.TB) (*ecdsa.PrivateKey, PublicKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(pemOf(t, &private.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

func pemOf(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// published is a key made with openssl ecparam -name secp384r1 -genkey, its
// fingerprint is what openssl ec -pubin -outform DER | md5sum says of it.
const (
	published = `-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAErF8SV3mEQ6YA5R+k+c0Oqrboreh7cji2
rjaHpWG++Xt6/Lnt2Pp8rKGzXw0UNB2ykN/iQCvvDLf7+m/QkHcPd4ddUQIZSNiN
Y1jtBgu+I7bjVrmROcm5a6UKO78sWIA0
-----END PUBLIC KEY-----
`
	publishedFingerprint = "39:3e:c6:f0:41:52:c9:8d:cf:0d:13:b5:61:57:93:63"
)

func TestFingerprint(t *testing.T) {
	key, err := ParsePublicKey(published)
	if err != nil {
		t.Fatal(err)
	}
	if got := key.Fingerprint(); got != publishedFingerprint {
		t.Errorf("got %s, want %s", got, publishedFingerprint)
	}
}

func TestParsePublicKeyRefuses(t *testing.T) {
	_, good := newKey(t)
	goodText := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte(good.der)}))
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	offCurve := []byte(good.der)
	offCurve[len(offCurve)-1] ^= 1
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "no PEM text"},
		{"no PEM", "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE", "no PEM text"},
		{"private", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})), "is a private key"},
		{"certificate", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})), `PEM block "CERTIFICATE"`},
		{"another curve", pemOf(t, &p256.PublicKey), "an EC key on P-256"},
		{"RSA", pemOf(t, &rsaKey.PublicKey), "an RSA key of 2048 bits"},
		{"Ed25519", pemOf(t, ed), "an Ed25519 key"},
		{"two", goodText + goodText, "something follows"},
		{"not on the curve", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: offCurve})), "no public key that can be read"},
		{"huge", strings.Repeat("A", 5000), "5000 bytes, limit 4096"},
	} {
		_, err := ParsePublicKey(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestPublicKeyInStore(t *testing.T) {
	_, key := newKey(t)
	b, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	var back PublicKey
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if !back.Equal(key) || !back.key.Equal(key.key) {
		t.Errorf("got another key back from %s", b)
	}
	if err := json.Unmarshal([]byte(`"AAAA"`), &back); err == nil {
		t.Error("a broken record was read")
	}
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add(published)
	f.Add("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n")
	f.Add("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParsePublicKey(text)
		if err != nil {
			return
		}
		again, err := ParsePublicKey(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte(key.der)})))
		if err != nil || !again.Equal(key) {
			t.Errorf("the key's own form is read as %v, %v", again, err)
		}
	})
}

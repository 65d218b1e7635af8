package agestore_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/agestore"
)

// secretFile writes a file that is its owner's alone.
func secretFile(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ed25519Key returns a public SSH key and its private key, locked if passphrase isn't "".
func ed25519Key(t testing.TB, passphrase string) (public, secret string) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(priv, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(p)), string(pem.EncodeToMemory(block))
}

// TestRefusedRecipients: what can't be encrypted to is refused with a reason, and no secret is repeated, also
// where the content of a file was given instead of its name.
func TestRefusedRecipients(t *testing.T) {
	id := identity(t)
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	generated := "# created: today\n# public key: " + id.Recipient().String() + "\n" + id.String() + "\n"
	_, sshSecret := ed25519Key(t, "")
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ssh.NewPublicKey(&curve.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ecdsaKey := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p256)))
	for _, c := range []struct {
		name   string
		values []string
		want   string
	}{
		{"nothing", []string{""}, "empty"},
		{"a typing error", []string{strings.Replace(id.Recipient().String(), "1", "1q", 1)}, "not a recipient"},
		{"an identity", []string{id.String()}, "secret"},
		{"a post-quantum identity", []string{pq.String()}, "secret"},
		{"an identity in small letters", []string{strings.ToLower(id.String())}, "secret"},
		{"an identity in quotes", []string{"'" + id.String() + "'"}, "secret"},
		{"an identity's file", []string{secretFile(t, generated)}, "secret"},
		{"an identity's content", []string{generated}, "secret"},
		{"an SSH private key's file", []string{"@" + secretFile(t, sshSecret)}, "secret"},
		{"an SSH private key's content", []string{sshSecret}, "secret"},
		{"a plugin's recipient", []string{"age1yubikey1qwerty"}, "plugin"},
		{"a plugin's recipient in a file", []string{secretFile(t, "\n\nage1yubikey1qwerty\n")}, "line 3"},
		{"a tagged recipient", []string{"age1tag1qwerty"}, "plugin"},
		{"an SSH key of another kind", []string{ecdsaKey}, "ssh-ed25519"},
		{"an SSH key that is cut", []string{"ssh-ed25519 AAAA"}, "not a recipient"},
		{"a directory", []string{t.TempDir()}, "directory"},
		{"no such file", []string{"@/nowhere/at/all"}, "/nowhere/at/all: no such file"},
		{"a file without one", []string{secretFile(t, "# nobody\n")}, "no recipient"},
		{"too large a file", []string{secretFile(t, strings.Repeat("#\n", 1<<20))}, "too large"},
		{"post-quantum and not", []string{pq.Recipient().String(), id.Recipient().String()}, "post-quantum"},
	} {
		_, err := agestore.ParseRecipients(c.values)
		demandRefusal(t, c.name, err, c.want, id.String(), pq.String(), sshSecret[60:90])
	}
	if rs, err := agestore.ParseRecipients(nil); err != nil || len(rs) != 0 {
		t.Errorf("none: %v %v", rs, err)
	}
}

// TestRefusedIdentities: the same for identities.
func TestRefusedIdentities(t *testing.T) {
	id := identity(t)
	public, locked := ed25519Key(t, "a passphrase")
	_, sshSecret := ed25519Key(t, "")
	for _, c := range []struct{ name, file, want string }{
		{"locked", secretFile(t, locked), "passphrase"},
		{"encrypted", secretFile(t, "age-encryption.org/v1\n-> scrypt a 18\n"), "passphrase"},
		{"encrypted and armored", secretFile(t, "\n-----BEGIN AGE ENCRYPTED FILE-----\n"), "passphrase"},
		{"a recipient", secretFile(t, id.Recipient().String()+"\n"), "public"},
		{"a public SSH key", secretFile(t, public), "public"},
		{"a plugin's", secretFile(t, "AGE-PLUGIN-YUBIKEY-1QWERTY\n"), "plugin"},
		{"a typing error", secretFile(t, "# mine\n"+id.String()+"X\n"), "line 2"},
		{"words", secretFile(t, "hello\n"), "line 1"},
		{"nothing", secretFile(t, "# nothing\n"), "no identity"},
		{"no such file", "/nowhere/at/all", "/nowhere/at/all: no such file"},
		{"a directory", t.TempDir(), "directory"},
		{"the identity instead of its file", id.String(), "name of a file"},
		{"the content instead of the file", "# created: today\n" + id.String() + "\n", "name of a file"},
		{"the SSH key instead of its file", sshSecret, "name of a file"},
	} {
		_, _, err := agestore.ReadIdentities(c.file)
		demandRefusal(t, c.name, err, c.want, id.String(), sshSecret[60:90])
	}
}

// demandRefusal demands a failure of kind Usage that says what it should and none of the secrets.
func demandRefusal(t *testing.T, name string, err error, want string, secrets ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", name)
		return
	}
	if stream.KindOf(err) != stream.Usage || !strings.Contains(err.Error(), want) || len(err.Error()) > 400 {
		t.Errorf("%s: kind %d: %v; want %q", name, stream.KindOf(err), err, want)
	}
	for _, s := range secrets {
		if strings.Contains(strings.ToUpper(err.Error()), strings.ToUpper(s)) {
			t.Errorf("%s: the message repeats a secret", name)
		}
	}
}

// TestFileNames: files whose names begin like keys, or hold what formats.
func TestFileNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"ssh-keys.txt", "age1.txt", "keys %d.txt", "id_rsa.pub"} {
		if err := os.WriteFile(name, []byte(identity(t).Recipient().String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if rs, err := agestore.ParseRecipients([]string{name, "@" + name}); err != nil || len(rs) != 2 {
			t.Errorf("%s: %d recipients, %v", name, len(rs), err)
		}
		_, _, err := agestore.ReadIdentities(name)
		demandRefusal(t, name, err, name+", line 1: this is a public key")
	}
}

// TestIdentityFiles: several identities, comments, Windows' line ends.
func TestIdentityFiles(t *testing.T) {
	a, b := identity(t), identity(t)
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	ids, warning, err := agestore.ReadIdentities(secretFile(t, "# a\r\n"+a.String()+"\r\n\r\n"+pq.String()+"\n  "+b.String()))
	if err != nil || len(ids) != 3 || warning != "" {
		t.Errorf("%d identities, %q, %v", len(ids), warning, err)
	}
}

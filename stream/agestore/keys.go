package agestore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"

	"github.com/pgmove/pgmove/stream"
)

// maxKeys bounds, in bytes, the files of keys that are read.
const maxKeys = 1 << 20

// Who takes a key by a flag may be handed a secret by mistake, or a file's content instead of its name. So no
// message repeats a value that isn't known to be public or a name.

// ParseRecipients reads those whom an archive is encrypted to. A value is a recipient of age (age1…, post-quantum
// age1pq1…), a public key of SSH (ssh-ed25519, ssh-rsa), or the name of a file, with or without "@" before it, that has
// such, one a line. Errors are *stream.Failures of kind Usage.
func ParseRecipients(values []string) ([]age.Recipient, error) {
	const flag = "--encrypt-to"
	var all []age.Recipient
	for _, v := range values {
		if v = strings.TrimSpace(v); v == "" {
			return nil, stream.Fail(stream.Usage, flag+": the value is empty").WithHint("give a recipient, age1…, or a file of them")
		}
		if looksLikeKey(v) {
			r, why := parseRecipient(v)
			if why != "" {
				return nil, stream.Fail(stream.Usage, flag+": %s", why).WithHint(recipientHint)
			}
			all = append(all, r)
			continue
		}
		file := strings.TrimPrefix(v, "@")
		b, err := readKeys(flag, file)
		if err != nil {
			return nil, err
		}
		err = lines(b, func(n int, line string) error {
			r, why := parseRecipient(line)
			if why != "" {
				return stream.Fail(stream.Usage, flag+" %s, line %d: %s", file, n, why).WithHint(recipientHint)
			}
			all = append(all, r)
			return nil
		})
		if errors.Is(err, errNoLine) {
			err = stream.Fail(stream.Usage, flag+" %s: the file has no recipient", file).WithHint(recipientHint)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	// age takes no mixture of recipients of which some are weaker than others: better told now than after the dump
	// has begun.
	if _, err := age.Encrypt(io.Discard, all...); err != nil {
		return nil, stream.Fail(stream.Usage, flag+": post-quantum recipients and others can't be mixed, as the weakest would decide").
			WithHint("give post-quantum recipients, age1pq1…, or others, but not both")
	}
	return all, nil
}

const recipientHint = "a recipient is age1…, ssh-ed25519 … or ssh-rsa …: the public key, as age-keygen -y FILE or a .pub file has it"

// looksLikeKey reports whether a value is to be a key, and not the name of a file.
func looksLikeKey(v string) bool {
	if strings.HasPrefix(v, "age1") && !strings.ContainsAny(v, "./") {
		return true
	}
	kind, _, ok := strings.Cut(v, " ")
	if ok && (strings.HasPrefix(kind, "ssh-") || strings.HasPrefix(kind, "ecdsa-") || strings.HasPrefix(kind, "sk-")) {
		return true
	}
	return looksSecret(v)
}

// looksSecret reports whether a value holds a secret key, wherever in it and however it is spelled.
func looksSecret(v string) bool {
	v = strings.ToUpper(v)
	return strings.Contains(v, "AGE-SECRET-KEY-") || strings.Contains(v, "AGE-PLUGIN-") || strings.Contains(v, "-----BEGIN")
}

// parseRecipient reads one recipient, or says why it can't.
func parseRecipient(s string) (r age.Recipient, why string) {
	var err error
	switch {
	case looksSecret(s):
		return nil, "this is a secret key, and a recipient is wanted"
	case strings.HasPrefix(s, "age1pq1"):
		r, err = age.ParseHybridRecipient(s)
	case strings.HasPrefix(s, "age1") && strings.Count(s, "1") > 1:
		return nil, "recipients of plugins are not supported"
	case strings.HasPrefix(s, "age1"):
		r, err = age.ParseX25519Recipient(s)
	case strings.HasPrefix(s, "ssh-ed25519 "), strings.HasPrefix(s, "ssh-rsa "):
		r, err = agessh.ParseRecipient(s)
	case strings.HasPrefix(s, "ssh-"), strings.HasPrefix(s, "ecdsa-"), strings.HasPrefix(s, "sk-"):
		return nil, "age can't encrypt to such an SSH key, only to ssh-ed25519 and ssh-rsa"
	default:
		return nil, "this is not a recipient"
	}
	if err != nil {
		return nil, "this is not a recipient: a character is wrong or missing, or an RSA key has less than 2048 bits"
	}
	return r, ""
}

// ReadIdentities reads a file of identities of age, one a line, or an SSH private key without passphrase. The warning, ""
// for none, is for a file that others than its owner may use. Errors are *stream.Failures of kind Usage.
func ReadIdentities(file string) (ids []age.Identity, warning string, err error) {
	const flag = "--identity"
	b, err := readKeys(flag, file)
	if err != nil {
		return nil, "", err
	}
	fail := func(why string) *stream.Failure { return stream.Fail(stream.Usage, "%s %s%s", flag, file, why) }
	text := bytes.TrimSpace(b)
	switch {
	case bytes.HasPrefix(text, []byte("age-encryption.org/")), bytes.HasPrefix(text, []byte("-----BEGIN AGE ENCRYPTED FILE-----")):
		return nil, "", fail(": the file itself is encrypted, with a passphrase as it seems, and pgmove asks for none").
			WithHint("decrypt it first: age -d -o KEYFILE %s", file)
	case bytes.HasPrefix(text, []byte("-----BEGIN")):
		id, err := agessh.ParseIdentity(text)
		var locked *ssh.PassphraseMissingError
		if errors.As(err, &locked) {
			return nil, "", fail(": the SSH key has a passphrase, and pgmove asks for none").
				WithHint("use an identity of age, or take the passphrase off a copy of the key: ssh-keygen -p -f COPY")
		}
		if err != nil {
			return nil, "", fail(": this is not a private key that age can use: ssh-ed25519 and ssh-rsa are")
		}
		ids = []age.Identity{id}
	default:
		err := lines(text, func(n int, line string) error {
			id, why := parseIdentity(line)
			if why != "" {
				return fail(fmt.Sprintf(", line %d: %s", n, why)).WithHint("an identity is AGE-SECRET-KEY-1…, as age-keygen writes it")
			}
			ids = append(ids, id)
			return nil
		})
		if errors.Is(err, errNoLine) {
			err = fail(": the file has no identity").WithHint("an identity is AGE-SECRET-KEY-1…, as age-keygen writes it")
		}
		if err != nil {
			return nil, "", err
		}
	}
	if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		warning = fmt.Sprintf("the identity file %s may be used by others than its owner: chmod 600 it", file)
	}
	return ids, warning, nil
}

// parseIdentity reads one identity of age, or says why it can't.
func parseIdentity(s string) (id age.Identity, why string) {
	var err error
	switch {
	case strings.HasPrefix(s, "AGE-SECRET-KEY-PQ-1"):
		id, err = age.ParseHybridIdentity(s)
	case strings.HasPrefix(s, "AGE-SECRET-KEY-1"):
		id, err = age.ParseX25519Identity(s)
	case strings.HasPrefix(s, "AGE-PLUGIN-"):
		return nil, "identities of plugins are not supported"
	case strings.HasPrefix(s, "age1"), strings.HasPrefix(s, "ssh-"), strings.HasPrefix(s, "ecdsa-"):
		return nil, "this is a public key, and the secret one is wanted"
	default:
		return nil, "this is not an identity"
	}
	if err != nil {
		return nil, "this is not an identity: a character is wrong or missing"
	}
	return id, ""
}

// Match returns an error of kind Usage unless one of the identities decrypts what is encrypted to the recipients: who
// reads again what he writes learns it before he writes.
func Match(recipients []age.Recipient, identities []age.Identity) error {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, recipients...)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return stream.Fail(stream.Usage, "nothing can be encrypted to these recipients").Because(err)
	}
	if _, err := age.Decrypt(&b, identities...); err != nil {
		return stream.Fail(stream.Usage, "no identity given decrypts what is encrypted to --encrypt-to").
			WithHint("give --identity the secret key of one of the recipients")
	}
	return nil
}

var errNoLine = errors.New("no line holds anything")

// lines calls each with the lines, counted from 1, that are neither empty nor a comment, until it returns an error.
// The error is errNoLine where there are none.
func lines(b []byte, each func(n int, line string) error) error {
	found := errNoLine
	n := 0
	for line := range strings.SplitSeq(string(b), "\n") {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		found = nil
		if err := each(n, line); err != nil {
			return err
		}
	}
	return found
}

// readKeys reads a file of keys. It never repeats a name that may be a key or a file's content.
func readKeys(flag, file string) ([]byte, error) {
	if strings.ContainsAny(file, "\n\r") || looksLikeKey(file) || len(file) > 4096 {
		return nil, stream.Fail(stream.Usage, "%s: the name of a file is wanted, and not its content", flag)
	}
	fail := func(why any) error { return stream.Fail(stream.Usage, "%s %s: %s", flag, file, why) }
	f, err := os.Open(file)
	if err != nil {
		return nil, fail(bare(err))
	}
	defer func() { _ = f.Close() }()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, fail("this is a directory")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeys+1))
	if err != nil {
		return nil, fail(bare(err))
	}
	if len(b) > maxKeys {
		return nil, fail("the file is too large to be one of keys")
	}
	return b, nil
}

// bare drops the path that a *fs.PathError names: messages name it themselves.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

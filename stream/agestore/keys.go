package agestore

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"

	"github.com/pgmove/pgmove/stream"
)

// maxKeys bounds, in bytes, the files of keys that are read.
const maxKeys = 1 << 20

// ParseRecipients reads those whom an archive is encrypted to: age1…, public keys of SSH (ssh-ed25519, ssh-rsa), and
// files with such in them, one a line. Errors are *stream.Failures of kind Usage.
func ParseRecipients(values []string) ([]age.Recipient, error) {
	var all []age.Recipient
	for _, v := range values {
		v = strings.TrimSpace(v)
		if r, err := parseRecipient(v); err == nil {
			all = append(all, r)
			continue
		} else if strings.HasPrefix(v, "age1") || strings.HasPrefix(v, "ssh-") {
			return nil, stream.Fail(stream.Usage, "--encrypt-to %.80q: %s", v, err)
		}
		if strings.HasPrefix(v, "AGE-SECRET-KEY-") || strings.HasPrefix(v, "AGE-PLUGIN-") {
			// The value is not repeated: it is a secret.
			return nil, stream.Fail(stream.Usage, "--encrypt-to takes a recipient, age1…, and not an identity")
		}
		b, err := readKeys("encrypt-to", strings.TrimPrefix(v, "@"))
		if err != nil {
			return nil, err
		}
		n := len(all)
		for i, line := range strings.Split(string(b), "\n") {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			r, err := parseRecipient(line)
			if err != nil {
				return nil, stream.Fail(stream.Usage, "--encrypt-to %s: line %d is no recipient", v, i+1)
			}
			all = append(all, r)
		}
		if len(all) == n {
			return nil, stream.Fail(stream.Usage, "--encrypt-to %s: the file has no recipient", v)
		}
	}
	return all, nil
}

func parseRecipient(s string) (age.Recipient, error) {
	if strings.HasPrefix(s, "ssh-") {
		return agessh.ParseRecipient(s)
	}
	all, err := age.ParseRecipients(strings.NewReader(s))
	if err != nil {
		return nil, fmt.Errorf("not a recipient of age's: age1…")
	}
	return all[0], nil
}

// ReadIdentities reads a file of identities of age, or an SSH private key without passphrase. The warning, ""
// for none, is for a file that others may read. Errors are *stream.Failures of kind Usage.
func ReadIdentities(file string) (ids []age.Identity, warning string, err error) {
	b, err := readKeys("identity", file)
	if err != nil {
		return nil, "", err
	}
	if st, err := os.Stat(file); err == nil && st.Mode().Perm()&0o077 != 0 && st.Mode().IsRegular() {
		warning = fmt.Sprintf("identity file %s may be read by others: chmod 600 it", file)
	}
	switch {
	case bytes.HasPrefix(b, []byte("age-encryption.org/")) || bytes.HasPrefix(b, []byte("-----BEGIN AGE ENCRYPTED FILE-----")):
		return nil, "", stream.Fail(stream.Usage, "--identity %s: the file is encrypted itself", file).
			WithHint("decrypt it first, with: age -d %s", file)
	case bytes.HasPrefix(b, []byte("-----BEGIN")):
		id, err := agessh.ParseIdentity(b)
		if err != nil {
			return nil, "", stream.Fail(stream.Usage, "--identity %s: not an SSH private key that can be used, or one with a passphrase", file).
				WithHint("give a key without passphrase, or an age identity")
		}
		return []age.Identity{id}, warning, nil
	}
	ids, err = age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		// What is wrong with it is not repeated: it may be part of a secret.
		return nil, "", stream.Fail(stream.Usage, "--identity %s: not a file of age identities", file).
			WithHint("it has a line AGE-SECRET-KEY-1…, as age-keygen writes it")
	}
	return ids, warning, nil
}

func readKeys(flag, file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, stream.Fail(stream.Usage, "--%s: %s", flag, err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxKeys+1))
	if err != nil {
		return nil, stream.Fail(stream.Usage, "--%s: %s", flag, err)
	}
	if len(b) > maxKeys {
		return nil, stream.Fail(stream.Usage, "--%s %s: the file is too large to be one of keys", flag, file)
	}
	return b, nil
}

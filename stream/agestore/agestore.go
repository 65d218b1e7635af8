// Package agestore is a store that encrypts: it passes objects on to another store, each a file of the
// age format under its key with .age added, so that a person can decrypt any of them by
// hand.
//
// It imports stream, filippo.io/age and golang.org/x/crypto/ssh (for what is wrong with an SSH key). It keeps a few blocks
// of 64 KiB of an object in memory, never writes a byte that is not encrypted, never repeats a key or what an
// object holds in a message, and never prints.
//
// age tells whether an object was changed, cut short or encrypted to somebody else. It doesn't tell one
// object from another, nor who wrote it: the archive's manifest does the first, its
// authentication codes (stream.MACKey) the second.
package agestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/pgmove/pgmove/stream"
)

// Suffix is what encrypted objects have after their key.
const Suffix = ".age"

// Store encrypts what it hands on and decrypts what it gets back. Keys may be 4 bytes shorter than
// stream.CheckKey allows, for Suffix.
type Store struct {
	inner      stream.Store
	recipients []age.Recipient
	identities []age.Identity
}

// New returns a Store over inner. Without recipients Put fails, without identities Get does; both failures are
// of kind Usage.
func New(inner stream.Store, recipients []age.Recipient, identities []age.Identity) *Store {
	return &Store{inner: inner, recipients: recipients, identities: identities}
}

// Encrypted reports whether the archive in a store is encrypted: whether an object that every archive has is
// there under its encrypted name. Of a place where nothing is it is false.
func Encrypted(ctx context.Context, s stream.Store) (bool, error) {
	for _, key := range []string{"pgmove/manifest.json", "pgmove/heartbeat.json", "pgmove/header.json", "toc.dat"} {
		rc, err := s.Get(ctx, key+Suffix, 0)
		if errors.Is(err, stream.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read %s: %w", key+Suffix, err)
		}
		return true, rc.Close()
	}
	return false, nil
}

// sealed returns the key under which the encrypted object lies.
func sealed(key string) (string, error) {
	if err := stream.CheckKey(key); err != nil {
		return "", err
	}
	return key + Suffix, stream.CheckKey(key + Suffix)
}

// Put stores what r yields, encrypted. It is as atomic as the inner store's: an error of r reaches that one's reader
// unchanged. A reader with SizeHint() int64 is handed on as one. See stream.Store.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	name, err := sealed(key)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(s.recipients) == 0 {
		return (&stream.Failure{Kind: stream.Usage, Object: name, Msg: "there is nobody to encrypt to"}).WithHint("give --encrypt-to")
	}
	cipher, err := age.EncryptReader(&sticky{r: r}, s.recipients...)
	if err != nil {
		return (&stream.Failure{Kind: stream.Usage, Object: name, Msg: "it can't be encrypted to these recipients", Err: err})
	}
	if h, ok := r.(interface{ SizeHint() int64 }); ok {
		cipher = &hinted{cipher, h.SizeHint()}
	}
	return s.inner.Put(ctx, name, cipher)
}

// sticky repeats the error that a reader ended with. age drops an error that comes together with the
// last bytes of a block, and asks again; a reader that then says io.EOF would end the object early.
type sticky struct {
	r   io.Reader
	err error
}

func (s *sticky) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.err = err
	return n, err
}

// hinted is ciphertext of which the plaintext's size is known roughly.
type hinted struct {
	io.Reader
	plain int64
}

// What age adds, in bytes: to each block of plaintext, and at the beginning. A header of many recipients is
// longer; the hint is one.
const (
	block       = 64 << 10
	blockAdded  = 16
	headerAdded = 512
)

// SizeHint estimates the size of the encrypted object, in bytes; 0 for unknown.
func (h *hinted) SizeHint() int64 {
	if h.plain <= 0 {
		return 0
	}
	return h.plain + h.plain/block*blockAdded + headerAdded
}

// List returns the encrypted objects whose keys begin with prefix, under their own keys; sizes are those of the
// encrypted objects. What is not encrypted is no object and is not listed.
func (s *Store) List(ctx context.Context, prefix string) ([]stream.ObjectInfo, error) {
	all, err := s.inner.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var own []stream.ObjectInfo
	for _, o := range all {
		if key, ok := strings.CutSuffix(o.Key, Suffix); ok && strings.HasPrefix(key, prefix) && stream.CheckKey(key) == nil {
			own = append(own, stream.ObjectInfo{Key: key, Size: o.Size})
		}
	}
	// With the suffix "a-b" sorts before "a", without it after.
	slices.SortFunc(own, func(a, b stream.ObjectInfo) int { return strings.Compare(a.Key, b.Key) })
	return own, nil
}

// Delete removes the object under key; that it isn't there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	name, err := sealed(key)
	if err != nil {
		return err
	}
	return s.inner.Delete(ctx, name)
}

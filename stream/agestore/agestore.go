// Package agestore is a store that encrypts: it passes objects on to another store, each a file of the
// age format under its key with .age added, so that a person can decrypt any of them by
// hand.
//
// It imports stream and filippo.io/age. It keeps no object in memory, never writes a byte that is
// not encrypted, and never prints.
//
// age tells whether an object was changed, cut short or encrypted to somebody else. It doesn't tell one
// object from another, nor who wrote it: the archive's manifest does the first, its
// authentication codes (stream.MACKey) the second.
package agestore

import (
	"bytes"
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

// block is how much, in bytes, is encrypted at a time: age's own unit.
const block = 64 << 10

// Store encrypts what it hands on and decrypts what it gets back. Keys have 508 bytes at most.
type Store struct {
	inner      stream.Store
	recipients []age.Recipient
	identities []age.Identity
}

// New returns a Store over inner. Without recipients Put fails, without identities Get does.
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

// Put stores what r yields, encrypted. See stream.Store.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	if err := stream.CheckKey(key); err != nil {
		return err
	}
	if len(s.recipients) == 0 {
		return stream.Fail(stream.Usage, "nobody to encrypt to").WithHint("give --encrypt-to")
	}
	e := &encryptor{src: r, block: make([]byte, block)}
	w, err := age.Encrypt(&e.out, s.recipients...)
	if err != nil {
		return fmt.Errorf("encrypt %s: %w", key, err)
	}
	e.w = w
	return s.inner.Put(ctx, key+Suffix, e)
}

// encryptor yields the ciphertext of what its source yields.
type encryptor struct {
	src   io.Reader
	w     io.WriteCloser // into out
	out   bytes.Buffer
	block []byte
	err   error // ends the reading once out is empty
}

func (e *encryptor) Read(p []byte) (int, error) {
	for e.out.Len() == 0 {
		if e.err != nil {
			return 0, e.err
		}
		n, err := e.src.Read(e.block)
		if n > 0 {
			if _, werr := e.w.Write(e.block[:n]); werr != nil {
				e.err = werr
				continue
			}
		}
		switch err {
		case nil:
		case io.EOF:
			e.err = io.EOF
			if cerr := e.w.Close(); cerr != nil {
				e.err = cerr
			}
		default:
			// The last block is not written: what came so far is no age file.
			e.err = err
			return 0, err
		}
	}
	return e.out.Read(p)
}

// SizeHint passes on what the source says of its size, in bytes.
func (e *encryptor) SizeHint() int64 {
	if h, ok := e.src.(interface{ SizeHint() int64 }); ok {
		n := h.SizeHint()
		return n + n/1000
	}
	return 0
}

// Get reads and decrypts the object under key, from offset bytes into it, which takes reading what comes
// before. What was changed or cut short is a *stream.Failure of kind Integrity, what is encrypted to
// somebody else one of kind Denied.
func (s *Store) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	if err := stream.CheckKey(key); err != nil {
		return nil, err
	}
	if len(s.identities) == 0 {
		return nil, (&stream.Failure{Kind: stream.Usage, Msg: "the archive is encrypted"}).WithHint("give --identity FILE")
	}
	if offset < 0 {
		return nil, fmt.Errorf("reading %s: a negative offset: %d", key, offset)
	}
	rc, err := s.inner.Get(ctx, key+Suffix, 0)
	if err != nil {
		return nil, err
	}
	d := &decryptor{key: key + Suffix, inner: rc}
	if d.plain, err = age.Decrypt(innerReader{d}, s.identities...); err != nil {
		err = d.explain(err)
		_ = rc.Close()
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, d, offset); err != nil && err != io.EOF {
		_ = rc.Close()
		return nil, err
	}
	return d, nil
}

// decryptor yields plaintext. It keeps the inner store's own errors apart from what age says of
// bytes that it can't take.
type decryptor struct {
	key   string
	inner io.ReadCloser
	plain io.Reader
	err   error // the inner store's
}

type innerReader struct{ d *decryptor }

func (r innerReader) Read(p []byte) (int, error) {
	n, err := r.d.inner.Read(p)
	if err != nil && err != io.EOF {
		r.d.err = err
	}
	return n, err
}

func (d *decryptor) Read(p []byte) (int, error) {
	n, err := d.plain.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	return n, d.explain(err)
}

func (d *decryptor) Close() error { return d.inner.Close() }

func (d *decryptor) explain(err error) error {
	if d.err != nil {
		return d.err
	}
	var stranger *age.NoIdentityMatchError
	if errors.As(err, &stranger) {
		return (&stream.Failure{Kind: stream.Denied, Object: d.key, Msg: "no identity that was given decrypts it"}).
			WithHint("give --identity the file with the identity that the archive was encrypted to")
	}
	return (&stream.Failure{Kind: stream.Integrity, Object: d.key, Msg: "it can't be decrypted: it was changed or cut short"}).Because(err)
}

// List returns the encrypted objects whose keys begin with prefix, under their own keys; sizes are those of the
// encrypted objects.
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
	slices.SortFunc(own, func(a, b stream.ObjectInfo) int { return strings.Compare(a.Key, b.Key) })
	return own, nil
}

// Delete removes the object under key.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := stream.CheckKey(key); err != nil {
		return err
	}
	return s.inner.Delete(ctx, key+Suffix)
}

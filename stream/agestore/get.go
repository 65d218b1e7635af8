package agestore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"github.com/pgmove/pgmove/stream"
)

// Get reads and decrypts the object under key, from offset bytes into it, which takes reading and decrypting what
// comes before. Once ctx ends, so do reads.
//
// An object that was changed or cut short is a *stream.Failure of kind Integrity, one that is encrypted to somebody
// else of kind Denied; both come before any byte that is wrong. Errors of the inner store are returned
// as they are.
func (s *Store) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	name, err := sealed(key)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("reading %s: a negative offset: %d", name, offset)
	}
	if len(s.identities) == 0 {
		return nil, (&stream.Failure{Kind: stream.Usage, Object: name, Msg: "the archive is encrypted"}).
			WithHint("give --identity FILE, with an identity that it was encrypted to")
	}
	rc, err := s.inner.Get(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	o := &object{ctx: ctx, name: name, inner: rc, cipher: cipher{r: rc}, skip: offset}
	if o.plain, err = age.Decrypt(&o.cipher, s.identities...); err != nil {
		err = o.explain(err)
		_ = rc.Close() // the object was given up
		return nil, err
	}
	return o, nil
}

// object decrypts an object while it is read.
type object struct {
	ctx    context.Context
	name   string
	inner  io.ReadCloser
	cipher cipher
	plain  io.Reader
	skip   int64 // bytes of plaintext before the first that is wanted
	err    error // ends the reading
}

// Read returns io.EOF only where age found the object's last block, whole, and the inner store its end.
func (o *object) Read(p []byte) (int, error) {
	if o.err == nil {
		o.err = o.ctx.Err()
	}
	if o.err == nil && o.skip > 0 {
		var n int64
		n, o.err = io.CopyN(io.Discard, o.plain, o.skip)
		o.skip -= n
		o.err = o.explain(o.err)
	}
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.plain.Read(p)
	o.err = o.explain(err)
	return n, o.err
}

// Close ends the reading, also before the object's end.
func (o *object) Close() error {
	if o.err == nil || o.err == io.EOF {
		o.err = errClosed
	}
	return o.inner.Close()
}

var errClosed = errors.New("the object was closed")

// errInner stands for the inner store's error while age is at work: age takes some for the end of the object.
var errInner = errors.New("the store failed")

// cipher reads the inner store's object and keeps its error apart from what age says of bytes that
// it can't take.
type cipher struct {
	r   io.Reader
	err error // io.EOF too
}

func (c *cipher) Read(p []byte) (int, error) {
	n := 0
	if c.err == nil {
		n, c.err = c.r.Read(p)
	}
	if c.failed() {
		return n, errInner
	}
	return n, c.err
}

func (c *cipher) failed() bool { return c.err != nil && c.err != io.EOF }

// explain says what an error of age means. age's own words are left out: they quote the object.
func (o *object) explain(err error) error {
	if err == nil {
		return nil
	}
	if o.cipher.failed() {
		return o.cipher.err
	}
	var stranger *age.NoIdentityMatchError
	switch {
	case err == io.EOF:
		return err
	case errors.As(err, &stranger):
		return (&stream.Failure{Kind: stream.Denied, Object: o.name, Msg: "no identity given matches: it is encrypted to somebody else"}).
			WithHint("give --identity the file with an identity that the archive was encrypted to")
	}
	f := &stream.Failure{Kind: stream.Integrity, Object: o.name, Msg: "it can't be decrypted: it was changed or cut short, or is not encrypted with age"}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		f.Msg, f.Err = "it can't be decrypted: it was cut short", io.ErrUnexpectedEOF
	}
	return f.WithHint("the archive is damaged or was changed after it was written: fetch it from where it is whole, or dump again")
}

package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pgmove/pgmove/stream"
)

// reopens is how often a body that breaks off is asked for again without a byte of progress.
const reopens = 4

// Get reads the object under key from offset, in bytes. Once ctx ends, so do reads. A
// body that breaks off is asked for again from there, of the same object only; where that
// doesn't help the error wraps io.ErrUnexpectedEOF or the connection's, and is a *stream.Failure
// of kind Outage. A body that doesn't match the checksum that the server keeps is one of kind Integrity.
func (s *Store) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	if err := stream.CheckKey(key); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("reading %s: a negative offset: %d", key, offset)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o := &object{s: s, ctx: ctx, key: key, at: offset}
	err := o.open("")
	switch {
	case err == nil:
		return o, nil
	case status(err) == http.StatusRequestedRangeNotSatisfiable:
		return io.NopCloser(strings.NewReader("")), nil
	case missing(err):
		return nil, fmt.Errorf("%s: %w", s.location(key), stream.ErrNotExist)
	}
	return nil, s.fail(ctx, "reading", key, err)
}

// object reads an object's body, through several answers where it must.
type object struct {
	s    *Store
	ctx  context.Context
	key  string
	at   int64 // the next byte's offset
	size int64 // the whole object's
	etag string
	body io.ReadCloser
	// idle counts the answers since the last byte.
	idle int
	err  error // ends the reading
}

// open asks for the bytes from o.at; etag, unless it is "", is that of the object begun.
func (o *object) open(etag string) error {
	in := &s3.GetObjectInput{
		Bucket:              aws.String(o.s.opts.Bucket),
		Key:                 o.s.object(o.key),
		ExpectedBucketOwner: o.s.owner,
	}
	if o.at > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", o.at))
	}
	if etag != "" {
		in.IfMatch = aws.String(etag)
	}
	out, err := o.s.client.GetObject(o.ctx, in)
	if err != nil {
		return err
	}
	size, err := wholeSize(out, o.at)
	if err == nil && etag != "" && (aws.ToString(out.ETag) != etag || size != o.size) {
		err = errChanged
	}
	if err != nil {
		_ = out.Body.Close()
		return err
	}
	o.body, o.size, o.etag = out.Body, size, aws.ToString(out.ETag)
	return nil
}

var errChanged = errors.New("the object was replaced while it was read")

// wholeSize returns the size of the whole object, and checks that the answer begins at offset.
func wholeSize(out *s3.GetObjectOutput, offset int64) (int64, error) {
	if offset == 0 {
		if out.ContentLength == nil || *out.ContentLength < 0 {
			return 0, errors.New("the server does not tell the object's size")
		}
		return *out.ContentLength, nil
	}
	var first, last, size int64
	if _, err := fmt.Sscanf(aws.ToString(out.ContentRange), "bytes %d-%d/%d", &first, &last, &size); err != nil ||
		first != offset || last != size-1 {
		return 0, fmt.Errorf("the server answers a request from offset %d with the range %.60q", offset, aws.ToString(out.ContentRange))
	}
	return size, nil
}

func (o *object) Read(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	for {
		n, err := o.body.Read(p)
		o.at += int64(n)
		if n > 0 {
			o.idle = 0
		}
		if o.at > o.size {
			n, err = 0, fmt.Errorf("the body is longer than the %d bytes announced", o.size)
		}
		if err == nil {
			return n, nil
		}
		o.err = o.ended(err)
		if n > 0 || o.err != nil {
			// An error that came with bytes is returned by the next Read.
			if n > 0 {
				return n, nil
			}
			return 0, o.err
		}
	}
}

// ended returns what ends the reading after the body ended with err; nil where it goes on with
// another body.
func (o *object) ended(err error) error {
	switch {
	case o.ctx.Err() != nil:
		return o.s.fail(o.ctx, "reading", o.key, err)
	case o.at == o.size && err == io.EOF:
		return io.EOF
	case o.at >= o.size:
		// All bytes came, and they are not what the server's checksum is of.
		return &stream.Failure{Kind: stream.Integrity, Object: o.s.location(o.key), Msg: "reading: the bytes are not those that were stored", Err: err}
	case err == io.EOF:
		err = fmt.Errorf("the answer ends %d bytes before the object does: %w", o.size-o.at, io.ErrUnexpectedEOF)
	}
	for o.idle < reopens {
		if wait := time.Duration(o.idle) * 500 * time.Millisecond; wait > 0 {
			select {
			case <-o.ctx.Done():
				return o.s.fail(o.ctx, "reading", o.key, err)
			case <-time.After(wait):
			}
		}
		o.idle++
		_ = o.body.Close()
		again := o.open(o.etag)
		if again == nil {
			return nil
		}
		o.body = http.NoBody
		if errors.Is(again, errChanged) || status(again) == http.StatusPreconditionFailed || missing(again) {
			return &stream.Failure{Kind: stream.Integrity, Object: o.s.location(o.key), Msg: "reading", Err: errChanged}
		}
		err = again
		if kind, _ := classify(err); kind != stream.Outage {
			break
		}
	}
	return o.s.fail(o.ctx, "reading", o.key, err)
}

// Close ends the reading, also before the object's end.
func (o *object) Close() error {
	if o.err == nil {
		o.err = errClosed
	}
	// What a body that was given up has to say is of no interest.
	_ = o.body.Close()
	return nil
}

var errClosed = errors.New("the object was closed")

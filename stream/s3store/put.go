package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/pgmove/pgmove/stream"
)

// small is the size, in bytes, up to which Put reads an object before it takes memory in parts, for
// which it may have to wait.
const small = mib

const contentType = "application/octet-stream"

// source reads the caller's reader until ctx ends, and keeps its error apart from the SDK's.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	s.err = err
	return n, err
}

// failed returns the reader's own error; nil for none and for its end.
func (s *source) failed() error {
	if s.err == nil || s.err == io.EOF {
		return nil
	}
	return s.err
}

// Put stores what r yields under key: in one request where it is smaller than a part, else in
// a multipart upload, which is aborted on failure also where ctx has ended. An error of r is
// returned wrapped; those of the server are *stream.Failures.
//
// An object has 10,000 parts at most. A reader that has the method SizeHint() int64, an estimate of the
// object's bytes, 0 for unknown, gets parts for half as much again, up to half of the memory for parts each;
// what is estimated larger than 10,000 of these is refused at once, with kind Usage. With default options an
// object may have 48 GiB without a hint and 585 GiB with one. An object of more than 1 MiB waits until there
// is memory; smaller ones never wait.
//
// When ctx ends just as the server takes the last byte, an object of one request may be there,
// whole, although Put says that it was cancelled.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	if err := stream.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	src := &source{ctx: ctx, r: r}
	buf := s.buffers.Get().(*[]byte)
	n, err := io.ReadFull(src, *buf)
	body := (*buf)[:n]
	switch {
	case src.err == io.EOF:
		err = s.putSmall(ctx, key, body)
		s.buffers.Put(buf)
	case err != nil:
		s.buffers.Put(buf)
	default:
		// The buffer goes back as soon as its bytes are with the manager.
		head := &giveBack{r: bytes.NewReader(body), give: func() { s.buffers.Put(buf) }}
		err = s.putLarge(ctx, key, r, io.MultiReader(head, src))
		head.done()
	}
	switch {
	case err == nil:
		return nil
	case src.failed() != nil:
		return fmt.Errorf("writing %s: its source failed: %w", s.location(key), errors.Join(src.failed(), leftover(err)))
	default:
		return s.fail(ctx, "writing", key, err)
	}
}

// giveBack gives its buffer back when it has been read.
type giveBack struct {
	r    *bytes.Reader
	give func()
}

func (g *giveBack) Read(p []byte) (int, error) {
	if g.r == nil {
		return 0, io.EOF
	}
	n, err := g.r.Read(p)
	if err != nil {
		g.done()
	}
	return n, err
}

func (g *giveBack) done() {
	if g.r != nil {
		g.r = nil
		g.give()
	}
}

// partSize is the size of the parts of an object of about hint bytes.
func (s *Store) partSize(hint int64) (int64, error) {
	parts := int64(s.maxParts)
	// An estimate may well be too low by half.
	size := max(s.opts.PartSize, (hint/parts+hint/parts/2+mib)/mib*mib)
	// Two parts at least fit into the memory then: one is filled while the other is sent.
	most := max(s.opts.PartSize, min(s.opts.room()/2/mib*mib, maxPartSize))
	if size <= most {
		return size, nil
	}
	if hint/parts >= most {
		return 0, stream.Fail(stream.Usage, "an object of about %d bytes is larger than %d parts of %d bytes, all that there is memory for", hint, parts, most).
			WithHint("give uploads at least %d MiB of memory", (2*hint/parts/mib+1)*4/3+1)
	}
	return most, nil
}

// input is the request for an object, in one piece or in parts.
func (s *Store) input(key string, body io.Reader) *s3.PutObjectInput {
	in := &s3.PutObjectInput{
		Bucket:               aws.String(s.opts.Bucket),
		Key:                  s.object(key),
		Body:                 body,
		ContentType:          aws.String(contentType),
		ChecksumAlgorithm:    checksums[s.opts.Checksum],
		ServerSideEncryption: types.ServerSideEncryption(s.opts.SSE),
		StorageClass:         types.StorageClass(s.opts.StorageClass),
		ExpectedBucketOwner:  s.owner,
	}
	if s.opts.KMSKey != "" {
		in.SSEKMSKeyId = aws.String(s.opts.KMSKey)
	}
	return in
}

// putSmall stores an object in one request.
func (s *Store) putSmall(ctx context.Context, key string, body []byte) error {
	_, err := s.client.PutObject(ctx, s.input(key, bytes.NewReader(body)))
	return err
}

// leftover keeps of an upload's error what its reader's own error doesn't say.
func leftover(err error) error {
	var left *partsLeft
	if errors.As(err, &left) {
		return fmt.Errorf("its parts are left in the bucket, as aborting it failed: %w", tell(left.abort))
	}
	return nil
}

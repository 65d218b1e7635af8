package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/pgmove/pgmove/stream"
)

// small is the size, in bytes, up to which Put reads an object before it bothers the uploader, which
// takes memory in parts.
const small = 1 << 20

// mark is the name of the metadata that tells an upload's object from another's.
const mark = "pgmove-put"

// newUploader returns what uploads large objects. Its pool of parts is shared by all uploads.
//
//nolint:staticcheck // feature/s3/manager is deprecated for transfermanager, which is not at 1.0 yet
func newUploader(client *s3.Client, opts Options) func(context.Context, *s3.PutObjectInput) error {
	u := manager.NewUploader(&settlingClient{client}, func(u *manager.Uploader) {
		u.PartSize = opts.PartSize
		u.Concurrency = opts.Concurrency
		// It would abort with the ctx of the upload, which may be the very thing that ended.
		u.LeavePartsOnError = true
		u.RequestChecksumCalculation = client.Options().RequestChecksumCalculation
	})
	return func(ctx context.Context, in *s3.PutObjectInput) error {
		_, err := u.Upload(ctx, in)
		return err
	}
}

// settlingClient finishes what leaves an unknown outcome when it is cut short: an upload
// that was begun without telling us its ID could never be aborted, and one of which we
// don't know whether it was completed is an object that is there or not.
type settlingClient struct{ *s3.Client }

func (c *settlingClient) CreateMultipartUpload(ctx context.Context, in *s3.CreateMultipartUploadInput, opts ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := settle(ctx)
	defer cancel()
	return c.Client.CreateMultipartUpload(ctx, in, opts...)
}

func (c *settlingClient) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput, opts ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Bounded only once ctx has ended: to put together a large object may take long.
	long, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		bounded, release := settle(ctx)
		defer release()
		select {
		case <-bounded.Done():
			cancel()
		case <-long.Done():
		}
	})
	defer stop()
	return c.Client.CompleteMultipartUpload(long, in, opts...)
}

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
		// The buffer goes back as soon as its bytes are with the uploader.
		head := &giveBack{r: bytes.NewReader(body), give: func() { s.buffers.Put(buf) }}
		err = s.putLarge(ctx, key, io.MultiReader(head, src))
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

func (s *Store) input(key string, body io.Reader) *s3.PutObjectInput {
	in := &s3.PutObjectInput{
		Bucket:              aws.String(s.opts.Bucket),
		Key:                 s.object(key),
		Body:                body,
		ContentType:         aws.String("application/octet-stream"),
		ExpectedBucketOwner: s.owner,
	}
	if s.opts.KMSKey != "" {
		in.ServerSideEncryption = types.ServerSideEncryptionAwsKms
		in.SSEKMSKeyId = aws.String(s.opts.KMSKey)
	}
	return in
}

func (s *Store) putSmall(ctx context.Context, key string, body []byte) error {
	_, err := s.client.PutObject(ctx, s.input(key, bytes.NewReader(body)))
	return err
}

func (s *Store) putLarge(ctx context.Context, key string, body io.Reader) error {
	select {
	case s.large <- struct{}{}:
		defer func() { <-s.large }()
	case <-ctx.Done():
		return ctx.Err()
	}
	token := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	// Bare of all other methods: the uploader would seek and read ahead where it can.
	in := s.input(key, struct{ io.Reader }{body})
	in.Metadata = map[string]string{mark: token}
	err := s.upload(ctx, in)
	if err == nil {
		return nil
	}
	// A server that completed the upload but whose answer was lost doesn't know the upload any more
	// when it is asked again. The object bears our mark then.
	if code(err) == "NoSuchUpload" && s.bears(ctx, key, token) {
		return nil
	}
	if aborted := s.abort(ctx, key, err); aborted != nil {
		return &partsLeft{err: err, abort: aborted}
	}
	return err
}

// bears reports whether the object under key is the one of the upload with this mark.
func (s *Store) bears(ctx context.Context, key, token string) bool {
	ctx, cancel := settle(ctx)
	defer cancel()
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket:              aws.String(s.opts.Bucket),
		Key:                 s.object(key),
		ExpectedBucketOwner: s.owner,
	})
	return err == nil && out.Metadata[mark] == token
}

// abort removes the parts of the upload that failed with err.
func (s *Store) abort(ctx context.Context, key string, err error) error {
	var failed manager.MultiUploadFailure
	if !errors.As(err, &failed) || failed.UploadID() == "" {
		return nil
	}
	return s.abortUpload(ctx, *s.object(key), failed.UploadID())
}

func (s *Store) abortUpload(ctx context.Context, object, id string) error {
	ctx, cancel := settle(ctx)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket:              aws.String(s.opts.Bucket),
		Key:                 aws.String(object),
		UploadId:            aws.String(id),
		ExpectedBucketOwner: s.owner,
	})
	if code(err) == "NoSuchUpload" {
		return nil
	}
	return err
}

// partsLeft is the failure of an upload that could not be aborted either.
type partsLeft struct{ err, abort error }

func (p *partsLeft) Error() string {
	return fmt.Sprintf("%v; its parts are left in the bucket, as aborting it failed too: %v", p.err, p.abort)
}

func (p *partsLeft) Unwrap() error { return p.err }

// leftover keeps of an upload's error what its reader's own error doesn't say.
func leftover(err error) error {
	var left *partsLeft
	if errors.As(err, &left) {
		return fmt.Errorf("its parts are left in the bucket, as aborting it failed: %w", left.abort)
	}
	return nil
}

// Sweep aborts all multipart uploads below the prefix, such as killed runs leave behind, and returns how
// many there were. It is for a run that knows itself alone on the prefix: it would end
// another's uploads too.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	n := 0
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{
		Bucket:              aws.String(s.opts.Bucket),
		Prefix:              aws.String(s.base()),
		ExpectedBucketOwner: s.owner,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return n, s.fail(ctx, "listing uploads", "", err)
		}
		for _, u := range page.Uploads {
			if err := s.abortUpload(ctx, aws.ToString(u.Key), aws.ToString(u.UploadId)); err != nil {
				return n, s.fail(ctx, "aborting an upload", "", err)
			}
			n++
		}
	}
	return n, nil
}

package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/pgmove/pgmove/stream"
)

// mark is the name of the metadata that tells an upload's object from another's.
const mark = "pgmove-put"

// upload stores what body yields, in one request where it is smaller than a part and else in a multipart upload. Each upload
// has a manager of its own: its buffers are then as many as were set aside for it, and go with it.
//
//nolint:staticcheck // feature/s3/manager is deprecated for transfermanager, which is not at 1.0 yet
func (s *Store) upload(ctx context.Context, in *s3.PutObjectInput, part int64, concurrency int) error {
	u := manager.NewUploader(&settlingClient{s.client}, func(u *manager.Uploader) {
		u.PartSize = part
		u.Concurrency = concurrency
		u.MaxUploadParts = s.maxParts
		// It would abort with the ctx of the upload, which may be the very thing that ended.
		u.LeavePartsOnError = true
		u.RequestChecksumCalculation = s.client.Options().RequestChecksumCalculation
	})
	_, err := u.Upload(ctx, in)
	if err != nil && strings.Contains(err.Error(), "MaxUploadParts") {
		return &tooLarge{stream.Fail(stream.Failed, "the object is larger than %d parts of %d bytes", s.maxParts, part).
			WithHint("give uploads more memory, so that parts are larger"), err}
	}
	return err
}

// tooLarge is the failure of an object of too many parts; beside it stands what tells of the upload.
type tooLarge struct {
	*stream.Failure
	upload error
}

func (t *tooLarge) Unwrap() []error { return []error{t.Failure, t.upload} }

// putLarge stores an object that doesn't fit into a small buffer. On failure nothing is left of it, or the
// error says that.
func (s *Store) putLarge(ctx context.Context, key string, r io.Reader, body io.Reader) error {
	part, err := s.partSize(sizeHint(r))
	if err != nil {
		return err
	}
	concurrency, release, err := s.memory.take(ctx, part, s.opts.Concurrency)
	if err != nil {
		return err
	}
	defer release()
	token := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	// Bare of all other methods: the manager would seek and read ahead where it can.
	in := s.input(key, struct{ io.Reader }{body})
	in.ChecksumAlgorithm = s.checksum()
	in.Metadata = map[string]string{mark: token}
	if err = s.upload(ctx, in, part, concurrency); err == nil {
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

func sizeHint(r io.Reader) int64 {
	if h, ok := r.(interface{ SizeHint() int64 }); ok {
		return h.SizeHint()
	}
	return 0
}

// checksum is the algorithm of an upload's checksums. It has to be told when the upload begins, so what
// is the SDK's default elsewhere is ours here.
func (s *Store) checksum() types.ChecksumAlgorithm {
	if a := checksums[s.opts.Checksum]; a != "" {
		return a
	}
	if s.client.Options().RequestChecksumCalculation == aws.RequestChecksumCalculationWhenRequired {
		return ""
	}
	return types.ChecksumAlgorithmCrc32
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
	out, err := c.Client.CreateMultipartUpload(ctx, in, opts...)
	if err == nil && aws.ToString(out.UploadId) == "" {
		return nil, stream.Fail(stream.Failed, "the server began an upload without an ID")
	}
	return out, err
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

// partsLeft is the failure of an upload that could not be aborted either.
type partsLeft struct{ err, abort error }

func (p *partsLeft) Error() string {
	return fmt.Sprintf("%s; its parts are left in the bucket, as aborting it failed too: %s", line(p.err), line(p.abort))
}

func (p *partsLeft) Unwrap() error { return p.err }

package s3store

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/stream"
)

// mark is the name of the metadata that tells an upload's object from another's.
const mark = "pgmove-put"

// upload is a multipart upload under way. The reading goroutine fills buffers, and others
// send them.
type upload struct {
	s   *Store
	key string
	id  string
	// algorithm is of the parts' checksums; "" for none.
	algorithm types.ChecksumAlgorithm

	size  int64       // of a buffer
	owned int         // buffers taken from the memory
	idle  chan buffer // those of them that are not on their way

	mu    sync.Mutex
	parts []types.CompletedPart
}

// uploadParts stores first and what follows of src under key, in parts of first's size, and takes
// first over. On failure nothing is left of it, or the error says that.
func (s *Store) uploadParts(ctx context.Context, key string, src *source, first buffer) error {
	token := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	id, err := s.begin(ctx, key, token)
	if err != nil {
		s.memory.release(first)
		return err
	}
	u := &upload{
		s: s, key: key, id: id, algorithm: s.checksum(),
		size: int64(first.size()), owned: 1, idle: make(chan buffer, s.opts.Concurrency+1),
	}
	err = u.send(ctx, src, first)
	if err == nil {
		err = u.complete(ctx)
	}
	if err == nil {
		return nil
	}
	// A server that completed the upload but whose answer was lost doesn't know the upload any more
	// when it is asked again. The object bears our mark then.
	if code(err) == "NoSuchUpload" && s.bears(ctx, key, token) {
		return nil
	}
	if aborted := s.abortUpload(ctx, *s.object(key), id); aborted != nil {
		return &partsLeft{err: err, abort: aborted}
	}
	return err
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

// begin begins an upload. It isn't cut short: an upload that was begun without telling us its ID could
// never be aborted.
func (s *Store) begin(ctx context.Context, key, token string) (id string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	ctx, cancel := settle(ctx)
	defer cancel()
	in := &s3.CreateMultipartUploadInput{
		Bucket:               aws.String(s.opts.Bucket),
		Key:                  s.object(key),
		ContentType:          aws.String(contentType),
		Metadata:             map[string]string{mark: token},
		ChecksumAlgorithm:    s.checksum(),
		ServerSideEncryption: types.ServerSideEncryption(s.opts.SSE),
		StorageClass:         types.StorageClass(s.opts.StorageClass),
		ExpectedBucketOwner:  s.owner,
	}
	if s.opts.KMSKey != "" {
		in.SSEKMSKeyId = aws.String(s.opts.KMSKey)
	}
	out, err := s.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return "", err
	}
	if aws.ToString(out.UploadId) == "" {
		return "", stream.Fail(stream.Failed, "the server began an upload without an ID")
	}
	return *out.UploadId, nil
}

// send sends all parts and waits for them. It gives all buffers back.
func (u *upload) send(ctx context.Context, src *source, first buffer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(u.s.opts.Concurrency)
	// A part that fails ends the reading too.
	src.ctx = ctx
	err := u.read(ctx, group, src, first)
	// Where ctx has ended, a part failed, or the caller's ctx: the group tells which.
	own := err != nil && ctx.Err() == nil
	if own {
		cancel() // what is on its way is of no use
	}
	failed := group.Wait()
	for range u.owned {
		u.s.memory.release(<-u.idle)
	}
	if own || failed == nil {
		return err
	}
	return failed
}

// read fills buffers and hands them to the group, first as it is.
func (u *upload) read(ctx context.Context, group *errgroup.Group, src *source, first buffer) error {
	buf, n := first, first.size()
	for number := int32(1); ; number++ {
		if number > u.s.maxParts {
			u.idle <- buf
			return stream.Fail(stream.Failed, "the object is larger than %d parts of %d bytes", u.s.maxParts, u.size).
				WithHint("give uploads more memory, so that parts are larger")
		}
		whole, part := buf, buf.body(n)
		group.Go(func() error {
			defer func() { u.idle <- whole }()
			return u.part(ctx, number, part)
		})
		if n < buf.size() {
			return nil
		}
		var err error
		if buf, err = u.next(ctx); err != nil {
			return err
		}
		if n, err = buf.fill(src, 0); err != nil && src.err != io.EOF {
			u.idle <- buf
			return err
		}
		if n == 0 {
			u.idle <- buf
			return nil
		}
	}
}

// next returns a buffer to fill: one that is idle, or a further one while there is memory, or the first that
// comes back.
func (u *upload) next(ctx context.Context) (buffer, error) {
	select {
	case b := <-u.idle:
		return b, nil
	default:
	}
	if u.owned < cap(u.idle) {
		if b := u.s.memory.try(u.size); b != nil {
			u.owned++
			return b, nil
		}
	}
	select {
	case b := <-u.idle:
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// part stores one part.
func (u *upload) part(ctx context.Context, number int32, body io.ReadSeeker) error {
	out, err := u.s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket:              aws.String(u.s.opts.Bucket),
		Key:                 u.s.object(u.key),
		UploadId:            aws.String(u.id),
		PartNumber:          aws.Int32(number),
		Body:                body,
		ChecksumAlgorithm:   u.algorithm,
		ExpectedBucketOwner: u.s.owner,
	})
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, types.CompletedPart{
		PartNumber:        aws.Int32(number),
		ETag:              out.ETag,
		ChecksumCRC32:     out.ChecksumCRC32,
		ChecksumCRC32C:    out.ChecksumCRC32C,
		ChecksumCRC64NVME: out.ChecksumCRC64NVME,
		ChecksumSHA1:      out.ChecksumSHA1,
		ChecksumSHA256:    out.ChecksumSHA256,
	})
	return nil
}

// complete makes the object of its parts. It isn't cut short: an upload of which we don't know whether it was
// completed is an object that is there or not.
func (u *upload) complete(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
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
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return int(*a.PartNumber - *b.PartNumber) })
	_, err := u.s.client.CompleteMultipartUpload(long, &s3.CompleteMultipartUploadInput{
		Bucket:              aws.String(u.s.opts.Bucket),
		Key:                 u.s.object(u.key),
		UploadId:            aws.String(u.id),
		MultipartUpload:     &types.CompletedMultipartUpload{Parts: u.parts},
		ExpectedBucketOwner: u.s.owner,
	})
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

// partsLeft is the failure of an upload that could not be aborted either.
type partsLeft struct{ err, abort error }

func (p *partsLeft) Error() string {
	return fmt.Sprintf("%s; its parts are left in the bucket, as aborting it failed too: %s", line(p.err), line(p.abort))
}

func (p *partsLeft) Unwrap() error { return p.err }

package s3store

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/pgmove/pgmove/stream"
)

// Sweep aborts all multipart uploads below the prefix, such as killed runs leave behind, and returns how
// many there were. It is for a run that knows itself alone on the prefix: it would end
// another's uploads too.
//
// The error is a *stream.Failure, of kind Denied where the server or a policy doesn't let us list uploads
// or abort them; a run can go on without.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	n := 0
	err := s.incomplete(ctx, func(u types.MultipartUpload) error {
		if err := s.abortUpload(ctx, aws.ToString(u.Key), aws.ToString(u.UploadId)); err != nil {
			return s.fail(ctx, "aborting an incomplete upload", "", err)
		}
		n++
		return nil
	})
	return n, err
}

// Incomplete returns the keys of all incomplete multipart uploads below the prefix, in the server's order; a key
// of several uploads as often. Its errors are those of Sweep.
func (s *Store) Incomplete(ctx context.Context) ([]string, error) {
	var keys []string
	err := s.incomplete(ctx, func(u types.MultipartUpload) error {
		keys = append(keys, strings.TrimPrefix(aws.ToString(u.Key), s.base()))
		return nil
	})
	return keys, err
}

// incomplete calls each with every incomplete upload below the prefix, until it returns an error.
func (s *Store) incomplete(ctx context.Context, each func(types.MultipartUpload) error) error {
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{
		Bucket:              aws.String(s.opts.Bucket),
		Prefix:              aws.String(s.base()),
		ExpectedBucketOwner: s.owner,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.listingFailure(ctx, err)
		}
		for _, u := range page.Uploads {
			if err := each(u); err != nil {
				return err
			}
		}
	}
	return nil
}

// listingFailure says why incomplete uploads can't be listed.
func (s *Store) listingFailure(ctx context.Context, err error) error {
	const doing = "listing incomplete uploads"
	f := &stream.Failure{Kind: stream.Denied, Object: s.location(""), Err: tell(err)}
	switch {
	case ctx.Err() != nil:
	case code(err) == "NotImplemented" || status(err) == http.StatusNotImplemented || status(err) == http.StatusMethodNotAllowed:
		f.Msg = doing + ": the server can't"
		return f
	case code(err) == "AccessDenied" || code(err) == "" && status(err) == http.StatusForbidden:
		f.Msg = doing + ": the permission s3:ListBucketMultipartUploads is missing"
		return f.WithHint("allow s3:ListBucketMultipartUploads on the bucket, or let a lifecycle rule abort incomplete uploads")
	}
	return s.fail(ctx, doing, "", err)
}

// abortUpload removes the parts of an upload of an object of the bucket.
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

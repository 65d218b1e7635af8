package s3store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pgmove/pgmove/stream"
)

// TryUpload begins a multipart upload under key with one tiny part and aborts it, as large objects' uploads are when they fail. It
// leaves nothing behind, or says in its error that it does.
func (s *Store) TryUpload(ctx context.Context, key string) error {
	if err := stream.CheckKey(key); err != nil {
		return err
	}
	put := s.input(key, nil)
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: put.Bucket, Key: put.Key, ContentType: put.ContentType,
		ExpectedBucketOwner: put.ExpectedBucketOwner, ServerSideEncryption: put.ServerSideEncryption, SSEKMSKeyId: put.SSEKMSKeyId, StorageClass: put.StorageClass,
		ChecksumAlgorithm: s.checksum()})
	if err != nil {
		return s.fail(ctx, "beginning an upload of", key, err)
	}
	id := aws.ToString(out.UploadId)
	_, err = s.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: put.Bucket, Key: put.Key, UploadId: out.UploadId, PartNumber: aws.Int32(1),
		Body: strings.NewReader("pgmove check"), ExpectedBucketOwner: put.ExpectedBucketOwner, ChecksumAlgorithm: s.checksum()})
	if err != nil {
		err = s.fail(ctx, "uploading a part of", key, err)
	}
	if aerr := s.abortUpload(ctx, *put.Key, id); aerr != nil {
		err = errors.Join(err, s.fail(ctx, "aborting an upload of", key, aerr))
	}
	return err
}

// Clock lists a key at the most, and returns how far the server's clock is ahead of this machine's; it is right to about a second.
// It is 0 where the server doesn't tell the time.
func (s *Store) Clock(ctx context.Context) (ahead time.Duration, err error) {
	out, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(s.opts.Bucket), Prefix: aws.String(s.base()),
		MaxKeys: aws.Int32(1), ExpectedBucketOwner: s.owner})
	if err != nil {
		return 0, s.fail(ctx, "listing", "", err)
	}
	there, told := awsmiddleware.GetServerTime(out.ResultMetadata)
	here, noted := awsmiddleware.GetResponseAt(out.ResultMetadata)
	if !told || !noted {
		return 0, nil
	}
	return there.Sub(here), nil
}

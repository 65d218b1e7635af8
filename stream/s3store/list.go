package s3store

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/pgmove/pgmove/stream"
)

// List returns the objects whose keys begin with prefix, sorted by key. Objects in the bucket
// whose names are no keys are not listed.
func (s *Store) List(ctx context.Context, prefix string) ([]stream.ObjectInfo, error) {
	if err := stream.CheckKey(prefix + "x"); err != nil {
		return nil, fmt.Errorf("listing a prefix: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, _, err := s.list(ctx, prefix)
	// Not every server sorts, and directory buckets don't.
	slices.SortFunc(found, func(a, b stream.ObjectInfo) int { return strings.Compare(a.Key, b.Key) })
	return found, err
}

// Strange returns the names of objects right below the prefix that are no keys.
func (s *Store) Strange(ctx context.Context) ([]string, error) {
	_, strange, err := s.list(ctx, "")
	return slices.DeleteFunc(strange, func(name string) bool { return strings.Contains(name, "/") }), err
}

// list returns the objects whose keys begin with prefix, and names there that are no keys.
func (s *Store) list(ctx context.Context, prefix string) (found []stream.ObjectInfo, strange []string, err error) {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket:              aws.String(s.opts.Bucket),
		Prefix:              s.object(prefix),
		ExpectedBucketOwner: s.owner,
		// Others' keys may hold what XML can't.
		EncodingType: types.EncodingTypeUrl,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, s.fail(ctx, "listing", prefix, err)
		}
		for _, o := range page.Contents {
			name := aws.ToString(o.Key)
			if page.EncodingType == types.EncodingTypeUrl {
				if name, err = url.QueryUnescape(name); err != nil {
					return nil, nil, fmt.Errorf("listing %s: the server's answer: %w", s.location(prefix), err)
				}
			}
			key, ok := strings.CutPrefix(name, s.base())
			if !ok || !strings.HasPrefix(key, prefix) {
				continue
			}
			if stream.CheckKey(key) != nil {
				strange = append(strange, key)
				continue
			}
			found = append(found, stream.ObjectInfo{Key: key, Size: aws.ToInt64(o.Size)})
		}
	}
	return found, strange, nil
}

// Delete removes the object under key; that it isn't there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := stream.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket:              aws.String(s.opts.Bucket),
		Key:                 s.object(key),
		ExpectedBucketOwner: s.owner,
	})
	if err != nil && !missing(err) {
		return s.fail(ctx, "deleting", key, err)
	}
	return nil
}

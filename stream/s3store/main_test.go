package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/s3store"
)

// server is the S3 server of this package's tests.
var server *testbed.S3

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	server, err = testbed.StartS3(context.Background())
	if err != nil {
		return 1, err
	}
	defer func() {
		if err = errors.Join(err, server.Close()); err == nil {
			err = goleak.Find()
		}
	}()
	for _, v := range server.Env() {
		name, value, _ := strings.Cut(v, "=")
		if err := os.Setenv(name, value); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

var buckets atomic.Int64

// newBucket makes a bucket.
func newBucket(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", buckets.Add(1))
	if err := server.CreateBucket(name); err != nil {
		t.Fatal(err)
	}
	return name
}

// open opens a store in a new bucket; small parts, so that tests need few bytes.
func open(t *testing.T, change ...func(*s3store.Options)) *s3store.Store {
	t.Helper()
	opts := s3store.Options{Bucket: newBucket(t), Prefix: "some/prefix", PathStyle: true, PartSize: 5 << 20}
	for _, c := range change {
		c(&opts)
	}
	s, err := s3store.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// raw is a client of the tests' own, without connections that stay open.
func raw() *s3.Client {
	return s3.New(s3.Options{
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Region:     server.Region(), BaseEndpoint: aws.String(server.Endpoint()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey(), server.SecretKey(), ""),
	})
}

// uploads lists the incomplete multipart uploads in a bucket.
func uploads(t *testing.T, bucket string) []string {
	t.Helper()
	out, err := raw().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, u := range out.Uploads {
		found = append(found, aws.ToString(u.Key))
	}
	return found
}

var _ stream.Store = (*s3store.Store)(nil)

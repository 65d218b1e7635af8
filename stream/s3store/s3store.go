// Package s3store is the durable store on a bucket of S3, or of what speaks its
// protocol: one object an object, below a prefix.
//
// It alone in pgmove imports the AWS SDK, and beside it stream and the standard library; no AWS type
// shows in what it exports. It never prints, never puts a secret in a message, and never
// leaves an incomplete multipart upload behind a Put that returned.
package s3store

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pgmove/pgmove/stream"
)

// The defaults of Options, and its bounds. S3 takes 10,000 parts an object at most, so
// that DefaultPartSize allows objects of 156 GiB.
const (
	DefaultPartSize    = 16 << 20
	minPartSize        = 5 << 20
	maxPartSize        = 1 << 30
	DefaultConcurrency = 2
	DefaultUploads     = 8
)

// Options says where a store is and how it moves bytes. The zero value of every field but
// Bucket is usable.
type Options struct {
	// Bucket is the bucket's name. It must exist.
	Bucket string
	// Prefix stands, with a slash, before every key; "" for none.
	Prefix string
	// Region is the bucket's. By default the SDK's configuration tells it, and where that
	// doesn't the bucket itself, or us-east-1 for a server that isn't AWS.
	Region string
	// Endpoint is the URL of a server that isn't AWS; by default AWS_ENDPOINT_URL_S3 or
	// AWS_ENDPOINT_URL, and AWS where these are not set.
	Endpoint string
	// PathStyle puts the bucket's name in the path instead of the host's name.
	PathStyle bool
	// Profile is the profile of the shared configuration; by default AWS_PROFILE.
	Profile string
	// Owner is the account ID that must own the bucket; "" for no such check.
	Owner string
	// KMSKey is the ID or ARN of the key that the server encrypts objects with; "" for the bucket's
	// own default.
	KMSKey string
	// PartSize is the size, in bytes, of the parts of large objects; an object that is smaller
	// goes in one request. DefaultPartSize by default, at least 5 MiB.
	PartSize int64
	// Concurrency is how many parts of one object are on their way at the same time;
	// DefaultConcurrency by default.
	Concurrency int
	// Uploads bounds how many objects of more than 1 MiB are on their way at the same time; further
	// Puts wait. DefaultUploads by default. Each takes up to (Concurrency + 2) × PartSize bytes of
	// memory, and every Put 1 MiB.
	Uploads int
	// Transport, where it isn't nil, wraps what makes the HTTP requests.
	Transport func(http.RoundTripper) http.RoundTripper
}

// Store keeps objects in a bucket.
type Store struct {
	client *s3.Client
	upload func(context.Context, *s3.PutObjectInput) error
	opts   Options
	idle   func()        // closes idle connections
	owner  *string       // nil for any
	large  chan struct{} // a slot for each object above small under way
	// buffers are *[]byte of small bytes.
	buffers sync.Pool
}

// Open opens the store, and checks that the bucket can be reached. It takes credentials from
// where the AWS tools do: environment, shared files, SSO, container, instance.
//
// The error is a *stream.Failure: Usage for options that make no sense, Preflight for a missing
// bucket, Denied for credentials that are missing or refused, Outage where the server could not be
// reached within ten seconds.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	client, idle, err := connect(ctx, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{client: client, idle: idle, opts: opts, large: make(chan struct{}, opts.Uploads)}
	if opts.Owner != "" {
		s.owner = aws.String(opts.Owner)
	}
	s.buffers.New = func() any { b := make([]byte, small); return &b }
	s.upload = newUploader(client, opts)
	return s, nil
}

// Close closes idle connections. No other call may follow. It returns nil.
func (s *Store) Close() error {
	s.idle()
	return nil
}

// check sets the defaults and refuses what makes no sense.
func (o *Options) check() error {
	if !validBucket(o.Bucket) {
		return stream.Fail(stream.Usage, "not the name of a bucket: %.80q", o.Bucket)
	}
	if o.Prefix = strings.TrimSuffix(o.Prefix, "/"); o.Prefix != "" {
		if err := stream.CheckKey(o.Prefix); err != nil {
			return stream.Fail(stream.Usage, "not a prefix that pgmove uses: %.80q", o.Prefix).Because(err)
		}
	}
	if err := checkEndpoint(o.Endpoint); err != nil {
		return err
	}
	if o.PartSize == 0 {
		o.PartSize = DefaultPartSize
	}
	if o.PartSize < minPartSize || o.PartSize > maxPartSize {
		return stream.Fail(stream.Usage, "a part size of %d bytes is out of bounds: %d to %d", o.PartSize, minPartSize, maxPartSize)
	}
	if o.Concurrency == 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Uploads == 0 {
		o.Uploads = DefaultUploads
	}
	if o.Concurrency < 0 || o.Concurrency > 64 || o.Uploads < 0 || o.Uploads > 1024 {
		return stream.Fail(stream.Usage, "%d parts of %d uploads at a time are out of bounds: 64 of 1024", o.Concurrency, o.Uploads)
	}
	return nil
}

// checkEndpoint refuses what is no plain URL of a server. It never repeats the
// URL: one with a user in it holds a password.
func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return stream.Fail(stream.Usage, "the S3 endpoint is not a plain URL of the form https://host:port")
	}
	return nil
}

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func validBucket(name string) bool {
	return bucketPattern.MatchString(name) && !strings.Contains(name, "..")
}

// ParseLocation splits a location s3://bucket/prefix. The prefix may be missing, and one slash
// may follow it. The error is a *stream.Failure of kind Usage.
func ParseLocation(location string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(location, "s3://")
	if !ok {
		return "", "", stream.Fail(stream.Usage, "not a location of the form s3://bucket/prefix: %.80q", location)
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !validBucket(bucket) {
		return "", "", stream.Fail(stream.Usage, "not the name of a bucket: %.80q", bucket)
	}
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		if err := stream.CheckKey(prefix); err != nil {
			return "", "", stream.Fail(stream.Usage, "not a prefix that pgmove uses: %.80q", prefix).Because(err)
		}
	}
	return bucket, prefix, nil
}

// base is what stands before every key in the bucket.
func (s *Store) base() string {
	if s.opts.Prefix == "" {
		return ""
	}
	return s.opts.Prefix + "/"
}

func (s *Store) object(key string) *string { return aws.String(s.base() + key) }

// location names an object for people to read.
func (s *Store) location(key string) string {
	return fmt.Sprintf("s3://%s/%s%s", s.opts.Bucket, s.base(), key)
}

// settling is how long what must not be cut short, since its outcome would be unknown, may
// take after its ctx ended: beginning, completing and aborting uploads.
const settling = time.Minute

// settle returns a context that outlives ctx by settling at most.
func settle(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settling)
}

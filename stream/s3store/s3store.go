// Package s3store is the durable store on a bucket of S3, or of what speaks its
// protocol: one object an object, below a prefix.
//
// It alone in pgmove imports the AWS SDK, and beside it stream, golang.org/x/sync and the standard library; no
// AWS type shows in what it exports. It never prints, never puts a secret in a message, never sends an ACL,
// never takes more memory for parts than it was given, and never leaves an incomplete multipart upload behind
// a Put that returned, unless the error says so.
package s3store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Store keeps objects in a bucket.
type Store struct {
	client   *s3.Client
	opts     Options
	idle     func()  // closes idle connections
	owner    *string // nil for any
	memory   *memory // of parts
	maxParts int32
	// buffers are *[]byte of small bytes.
	buffers sync.Pool
}

// Open opens the store, and checks that the bucket can be reached. It takes credentials from
// where the AWS tools do: environment, shared files, roles, web identity, SSO, container, instance; those
// that expire are renewed.
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
	s := &Store{client: client, idle: idle, opts: opts, memory: newMemory(opts.room()), maxParts: maxParts}
	if opts.Owner != "" {
		s.owner = aws.String(opts.Owner)
	}
	s.buffers.New = func() any { b := make([]byte, small); return &b }
	return s, nil
}

// Close closes idle connections. No other call may follow. It returns nil.
func (s *Store) Close() error {
	s.idle()
	return nil
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

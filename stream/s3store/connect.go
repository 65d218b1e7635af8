package s3store

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/pgmove/pgmove/stream"
)

const (
	// reach is how long Open tries to reach the server.
	reach = 10 * time.Second
	// silence is how long nothing may move on a connection before it is given up.
	silence = 90 * time.Second
	// attempts is how often a request is sent, unless the SDK's configuration says otherwise
	// (AWS_MAX_ATTEMPTS): about a minute with the pauses between.
	attempts = 8
)

// connect makes a client, and asks the bucket whether it is there. It returns the client and a
// function that closes its idle connections.
func connect(ctx context.Context, opts Options) (*s3.Client, func(), error) {
	short, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	cfg, err := load(short, opts)
	if err != nil {
		return nil, nil, err
	}
	client, idle := newClient(cfg, opts)
	if err := checkClient(ctx, short, client); err != nil {
		idle()
		return nil, nil, err
	}
	region, err := reachBucket(ctx, short, client, opts)
	if o := client.Options(); err != nil && region != "" && region != o.Region && o.BaseEndpoint == nil {
		client = s3.New(o, func(o *s3.Options) { o.Region = region })
		_, err = reachBucket(ctx, short, client, opts)
	}
	if err != nil {
		idle()
		return nil, nil, err
	}
	return client, idle, nil
}

// checkClient checks what can be checked without the server: the endpoint, and that there are
// credentials, so that their lack is told from a server that refuses them.
func checkClient(ctx, short context.Context, client *s3.Client) error {
	o := client.Options()
	if err := checkEndpoint(aws.ToString(o.BaseEndpoint)); err != nil {
		return err
	}
	if _, err := o.Credentials.Retrieve(short); err != nil {
		return credentialsFailure(ctx, err)
	}
	return nil
}

// load reads the SDK's configuration.
func load(ctx context.Context, opts Options) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(newHTTPClient(silence)),
		config.WithLogger(logging.Nop{}),
	}
	if opts.Region != "" {
		options = append(options, config.WithRegion(opts.Region))
	}
	if opts.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(opts.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, stream.Fail(stream.Usage, "the AWS configuration can't be used").Because(tell(err))
	}
	return cfg, nil
}

// newClient makes the client and the function that closes its idle connections.
func newClient(cfg aws.Config, opts Options) (*s3.Client, func()) {
	// Loading has added the certificates of AWS_CA_BUNDLE. Frozen, the client is one
	// whose connections can be closed.
	if c, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		cfg.HTTPClient = c.Freeze()
	}
	idle := func() {}
	if c, ok := cfg.HTTPClient.(interface{ CloseIdleConnections() }); ok {
		idle = c.CloseIdleConnections
	}
	if opts.Transport != nil {
		cfg.HTTPClient = &http.Client{
			Transport:     opts.Transport(doer{cfg.HTTPClient}),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	renewed := newRenewer(cfg.Credentials)
	cfg.Credentials = renewed
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = opts.PathStyle
		o.DisableLogOutputChecksumValidationSkipped = true
		if opts.Endpoint != "" {
			o.BaseEndpoint = aws.String(opts.Endpoint)
		}
		if o.RetryMaxAttempts == 0 {
			o.RetryMaxAttempts = attempts
		}
		o.Retryer = newRetryer(o.RetryMode, o.RetryMaxAttempts, renewed)
		if o.Region == "" {
			o.Region = "us-east-1"
		}
	}), idle
}

// doer is an HTTP client as a transport.
type doer struct{ client aws.HTTPClient }

func (d doer) RoundTrip(r *http.Request) (*http.Response, error) { return d.client.Do(r) }

// reachBucket asks for the bucket until it answers, short ends or the answer is final. It returns the
// region that the bucket says it is in, "" where it doesn't.
//
// It lists an object instead of asking for the bucket's head: an answer to HEAD has no body to say what
// is wrong, and a policy that allows listing below the prefix alone refuses it.
func reachBucket(ctx, short context.Context, client *s3.Client, opts Options) (region string, err error) {
	in := &s3.ListObjectsV2Input{Bucket: aws.String(opts.Bucket), MaxKeys: aws.Int32(1)}
	if opts.Prefix != "" {
		in.Prefix = aws.String(opts.Prefix + "/")
	}
	if opts.Owner != "" {
		in.ExpectedBucketOwner = aws.String(opts.Owner)
	}
	// The SDK's own retries would hide, behind the end of short, why it could not be reached.
	once := func(o *s3.Options) { o.Retryer = aws.NopRetryer{} }
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		_, err := client.ListObjectsV2(short, in, once)
		if err == nil {
			return "", nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		failure := bucketFailure(opts, err)
		var answer *awshttp.ResponseError
		if errors.As(err, &answer) && answer.HTTPResponse() != nil {
			region = answer.HTTPResponse().Header.Get("X-Amz-Bucket-Region")
		}
		if failure.Kind != stream.Outage {
			return region, failure
		}
		select {
		case <-short.Done():
			return "", failure
		case <-time.After(wait):
		}
	}
}

// bucketFailure says what is wrong with the bucket.
func bucketFailure(opts Options, err error) *stream.Failure {
	kind, msg := classify(err)
	hint := ""
	switch {
	case kind == stream.Preflight || missing(err):
		kind, msg, hint = stream.Preflight, "no such bucket", "create it first: pgmove creates no buckets"
	case kind == stream.Usage:
		hint = "set the region"
	case kind == stream.Denied:
		hint = "check the credentials and their s3:ListBucket, s3:GetObject, s3:PutObject and s3:AbortMultipartUpload on the bucket"
	}
	return &stream.Failure{Kind: kind, Object: "s3://" + opts.Bucket, Msg: msg, Hint: hint, Err: tell(err)}
}

// newHTTPClient returns an HTTP client that gives up connections on which nothing
// moved for limit.
func newHTTPClient(limit time.Duration) *awshttp.BuildableClient {
	dialer := &net.Dialer{Timeout: reach, KeepAlive: 30 * time.Second}
	// The SDK's own read timeout is off: it ends an upload that takes longer than it.
	return awshttp.NewBuildableClient().WithReadTimeout(0).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = 64
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &conn{Conn: c, limit: limit}, nil
		}
	})
}

// conn ends reads and writes when nothing has moved for limit, in either direction: a read
// that waits for the answer to an upload is given time by every write.
type conn struct {
	net.Conn
	limit time.Duration
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

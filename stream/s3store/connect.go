package s3store

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/pgmove/pgmove/stream"
)

const (
	// reach is how long Open tries to reach the server.
	reach = 10 * time.Second
	// silence is how long nothing may move on a connection before it is given up.
	silence = 90 * time.Second
	// attempts is how often a request is sent, at most backoff apart, unless
	// AWS_MAX_ATTEMPTS says otherwise.
	attempts = 8
	backoff  = 10 * time.Second
)

// connect makes a client, and asks the bucket whether it is there.
func connect(ctx context.Context, opts Options) (*s3.Client, error) {
	short, cancel := context.WithTimeout(ctx, reach)
	defer cancel()
	cfg, err := load(short, opts)
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = opts.PathStyle
		if opts.Endpoint != "" {
			o.BaseEndpoint = aws.String(opts.Endpoint)
		}
		if o.Region == "" {
			o.Region = "us-east-1"
		}
	})
	o := client.Options()
	if err := checkEndpoint(aws.ToString(o.BaseEndpoint)); err != nil {
		return nil, err
	}
	// Asked for apart, so that missing credentials are told from a server that refuses them.
	if _, err := cfg.Credentials.Retrieve(short); err != nil {
		return nil, credentialsFailure(ctx, err)
	}
	region, err := reachBucket(ctx, short, client, opts)
	if err == nil || region == "" || region == o.Region || o.BaseEndpoint != nil {
		return client, err
	}
	client = s3.New(o, func(o *s3.Options) { o.Region = region })
	_, err = reachBucket(ctx, short, client, opts)
	return client, err
}

func load(ctx context.Context, opts Options) (aws.Config, error) {
	var client config.HTTPClient = newClient(silence)
	if opts.Client != nil {
		client = opts.Client
	}
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = attempts
				o.MaxBackoff = backoff
			})
		}),
	}
	if opts.Region != "" {
		options = append(options, config.WithRegion(opts.Region))
	}
	if opts.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(opts.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, stream.Fail(stream.Usage, "the AWS configuration can't be used").Because(err)
	}
	return cfg, nil
}

// credentialsFailure classifies what the SDK says when it finds no credentials.
func credentialsFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// A machine that is not on AWS is no outage: the last place to look for credentials
	// is simply not there.
	if kind, _ := classify(err); kind == stream.Outage && !strings.Contains(err.Error(), "EC2 IMDS") {
		return stream.Fail(stream.Outage, "the source of the AWS credentials can't be reached").Because(err)
	}
	f := stream.Fail(stream.Denied, "no AWS credentials were found").Because(err)
	return f.WithHint("set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached")
}

// reachBucket asks for the bucket until it answers, short ends or the answer is final. It returns the
// region that the bucket says it is in, "" where it doesn't.
func reachBucket(ctx, short context.Context, client *s3.Client, opts Options) (region string, err error) {
	in := &s3.HeadBucketInput{Bucket: aws.String(opts.Bucket)}
	if opts.Owner != "" {
		in.ExpectedBucketOwner = aws.String(opts.Owner)
	}
	// The SDK's own retries would hide, behind the end of short, why it could not be reached.
	once := func(o *s3.Options) { o.Retryer = aws.NopRetryer{} }
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		out, err := client.HeadBucket(short, in, once)
		if err == nil {
			return aws.ToString(out.BucketRegion), nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		failure := bucketFailure(opts.Bucket, err)
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

// bucketFailure says what is wrong with the bucket. HEAD's answers have no body, so the
// status is all there is.
func bucketFailure(bucket string, err error) *stream.Failure {
	kind, msg := classify(err)
	hint := ""
	switch status(err) {
	case http.StatusNotFound:
		kind, msg, hint = stream.Preflight, "no such bucket", "create it first: pgmove creates no buckets"
	case http.StatusMovedPermanently, http.StatusBadRequest:
		// AWS answers 400 to a signature for another region.
		kind, msg, hint = stream.Usage, "the request was refused, perhaps because the bucket is in another region",
			"set the region"
	case http.StatusForbidden:
		msg, hint = "access is denied", "check the credentials, their expiry, and s3:ListBucket on the bucket"
	}
	return &stream.Failure{Kind: kind, Object: "s3://" + bucket, Msg: msg, Hint: hint, Err: err}
}

// newClient returns an HTTP client that gives up connections on which nothing
// moved for limit.
func newClient(limit time.Duration) *awshttp.BuildableClient {
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

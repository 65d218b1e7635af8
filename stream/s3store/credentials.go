package s3store

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/pgmove/pgmove/stream"
)

// renewing is how long it may take to get new credentials for those that a server says have expired.
const renewing = 30 * time.Second

// renewer hands out credentials of the SDK's own chain, and new ones also before the time at which they
// were to expire when a server says that they have: clocks differ, and roles are revoked.
type renewer struct {
	from aws.CredentialsProvider
	mu   sync.Mutex // one renewal at a time
}

func newRenewer(from aws.CredentialsProvider) *renewer { return &renewer{from: from} }

// Retrieve returns the credentials; those that have expired are renewed before. The error is a *renewalError.
func (r *renewer) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := r.from.Retrieve(ctx)
	if err != nil {
		return c, &renewalError{err}
	}
	return c, nil
}

// renewalError is a failure to get credentials, not of a request that has them.
type renewalError struct{ err error }

func (e *renewalError) Error() string { return "AWS credentials: " + line(e.err) }
func (e *renewalError) Unwrap() error { return e.err }

// IsErrorRetryable tells the SDK to send a request again that was refused because its credentials had
// expired, if there are others now.
func (r *renewer) IsErrorRetryable(err error) aws.Ternary {
	if !expired(err) {
		return aws.UnknownTernary
	}
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.Response == nil || answer.Response.Request == nil {
		return aws.UnknownTernary
	}
	signature := answer.Response.Request.Header.Get("Authorization")
	token := answer.Response.Request.Header.Get("X-Amz-Security-Token")
	old := func(c aws.Credentials) bool {
		return strings.Contains(signature, "Credential="+c.AccessKeyID+"/") && c.SessionToken == token
	}
	cache, ok := r.from.(interface{ Invalidate() })
	if !ok {
		return aws.UnknownTernary
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewing)
	defer cancel()
	// Requests side by side learn it at the same time; the first renews for all.
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.from.Retrieve(ctx)
	if err == nil && old(c) {
		cache.Invalidate()
		c, err = r.from.Retrieve(ctx)
	}
	switch {
	case err != nil:
		// The next attempt asks for credentials itself, after a pause, and says what is wrong with them.
		return aws.TrueTernary
	case old(c):
		return aws.FalseTernary
	}
	return aws.TrueTernary
}

// expired reports whether a server refused a request because its credentials had expired.
func expired(err error) bool {
	var renewal *renewalError
	switch code(err) {
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired":
		return !errors.As(err, &renewal)
	}
	return false
}

// longestPause is the longest pause between two attempts.
const longestPause = 20 * time.Second

// pause is how long to wait after an attempt, the first being 1, that failed with err. All of a short
// pause is chance, and half of the longest, so that clients that were refused together don't come back together;
// the SDK's own longest pause is the same for all.
func pause(attempt int, err error) (time.Duration, error) {
	if expired(err) {
		return 0, nil // there are new credentials
	}
	if d := time.Second << min(attempt, 10); d < longestPause {
		return rand.N(d), nil
	}
	return longestPause/2 + rand.N(longestPause/2), nil
}

// newRetryer returns what decides on further attempts, with pauses between them. It has
// no quota of retries over all requests, as the SDK's own has: the many uploads of a run would
// use it up in the first seconds of an outage that each alone would outlast.
func newRetryer(mode aws.RetryMode, attempts int, r *renewer) aws.Retryer {
	standard := func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.RateLimiter = ratelimit.None
		o.Backoff = retry.BackoffDelayerFunc(pause)
		o.Retryables = append(o.Retryables, r)
	}
	if mode == aws.RetryModeAdaptive {
		return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
			o.StandardOptions = append(o.StandardOptions, standard)
		})
	}
	return retry.NewStandard(standard)
}

// credentialsFailure classifies what the SDK says when it finds no credentials.
func credentialsFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var renewal *renewalError
	if errors.As(err, &renewal) {
		err = renewal.err
	}
	const hint = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"
	// The SDK looks at the machine's own role last. A machine that is not on AWS is no outage.
	if strings.Contains(err.Error(), "EC2 IMDS") {
		nowhere := &told{"neither in the environment nor in shared files, and this machine has no role", err}
		return stream.Fail(stream.Denied, "no AWS credentials were found").Because(nowhere).WithHint(hint)
	}
	if kind, _ := classify(err); kind == stream.Outage {
		return stream.Fail(stream.Outage, "the source of the AWS credentials can't be reached").Because(tell(err))
	}
	return stream.Fail(stream.Denied, "the AWS credentials can't be had").Because(tell(err)).WithHint(hint)
}

package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/pgmove/pgmove/stream"
)

// codes classifies the error codes that S3 answers with; the HTTP status tells the rest.
var codes = map[string]struct {
	kind stream.Kind
	msg  string
}{
	"NoSuchBucket":                 {stream.Preflight, "no such bucket"},
	"AccessDenied":                 {stream.Denied, "access is denied"},
	"AllAccessDisabled":            {stream.Denied, "access is denied"},
	"AccountProblem":               {stream.Denied, "access is denied"},
	"Forbidden":                    {stream.Denied, "access is denied"},
	"InvalidAccessKeyId":           {stream.Denied, "the access key is not known"},
	"XAdminUserNotFound":           {stream.Denied, "the access key is not known"}, // versitygw's
	"SignatureDoesNotMatch":        {stream.Denied, "the secret key is not the right one"},
	"ExpiredToken":                 {stream.Denied, "the credentials have expired"},
	"ExpiredTokenException":        {stream.Denied, "the credentials have expired"},
	"InvalidToken":                 {stream.Denied, "the credentials are not valid"},
	"RequestTimeTooSkewed":         {stream.Denied, "this machine's clock is not the server's"},
	"PermanentRedirect":            {stream.Usage, "the bucket is in another region"},
	"AuthorizationHeaderMalformed": {stream.Usage, "the bucket is in another region"},
	"KMS.DisabledException":        {stream.Denied, "the encryption key is disabled"},
	"KMS.NotFoundException":        {stream.Denied, "no such encryption key"},
	"KMS.KMSInvalidStateException": {stream.Denied, "the encryption key can't be used"},
	"InvalidStorageClass":          {stream.Usage, "the server has no such storage class"},
	"NotImplemented":               {stream.Failed, "the server can't do what it is asked"},
	"InternalError":                {stream.Outage, "the server failed"},
	"ServiceUnavailable":           {stream.Outage, "the server is not available"},
	"SlowDown":                     {stream.Outage, "the server asks for fewer requests"},
	"Throttling":                   {stream.Outage, "the server asks for fewer requests"},
	"RequestTimeout":               {stream.Outage, "the connection was too slow for the server"},
	"QuotaExceeded":                {stream.Outage, "the server has no room left"},
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// status returns the HTTP status that the server answered with, 0 where it didn't.
func status(err error) int {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}

// classify tells the kind of an error of the SDK, and what it means.
func classify(err error) (stream.Kind, string) {
	var renewal *renewalError
	if errors.As(err, &renewal) {
		if kind, _ := classify(renewal.err); kind == stream.Outage {
			return stream.Outage, "the source of the AWS credentials can't be reached"
		}
		return stream.Denied, "the AWS credentials can't be renewed"
	}
	if known, ok := codes[code(err)]; ok {
		return known.kind, known.msg
	}
	switch st := status(err); {
	case st == http.StatusUnauthorized || st == http.StatusForbidden:
		return stream.Denied, "access is denied"
	case st >= 500 || st == http.StatusTooManyRequests || st == http.StatusRequestTimeout:
		return stream.Outage, "the server failed"
	case st == http.StatusMovedPermanently || st == http.StatusTemporaryRedirect:
		return stream.Usage, "the bucket is in another region"
	case st >= 300:
		return stream.Failed, "the server refuses the request"
	}
	if unreachable(err) {
		return stream.Outage, "the connection failed"
	}
	return stream.Failed, "the request failed"
}

// unreachable reports whether err is of the network.
func unreachable(err error) bool {
	var network net.Error
	var sent *smithyhttp.RequestSendError
	var address *url.Error
	return errors.As(err, &network) || errors.As(err, &sent) || errors.As(err, &address) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF)
}

// fail says what could not be done with which object and why.
func (s *Store) fail(ctx context.Context, doing, key string, err error) error {
	where := s.location(key)
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", doing, where, ctx.Err())
	}
	var known *stream.Failure
	if errors.As(err, &known) {
		return &stream.Failure{Kind: known.Kind, Object: where, Msg: doing, Hint: known.Hint, Err: err}
	}
	kind, msg := classify(err)
	return &stream.Failure{Kind: kind, Object: where, Msg: doing + ": " + msg, Err: tell(err)}
}

// missing reports whether err says that there is no such object, while there is a
// bucket.
func missing(err error) bool {
	switch code(err) {
	case "NoSuchKey", "NotFound":
		return true
	case "": // an answer without a body
		return status(err) == http.StatusNotFound
	}
	return false
}

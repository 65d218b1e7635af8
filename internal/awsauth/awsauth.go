// Package awsauth turns what AWS keeps into what a database takes: a secret of Secrets Manager into a
// connection string (Resolve), and a role of IAM into a password that lasts 15 minutes (Token).
//
// It knows no driver and no engine: what it returns is text, for whichever engine the text names. It and
// stream/s3store are the only users of the AWS SDK. Its errors are Failures and show nothing of a secret.
package awsauth

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/pgmove/pgmove/stream"
)

// patience is how long AWS may take to answer, retries included.
const patience = 20 * time.Second

// load reads the SDK's configuration as the AWS tools do: environment, files, the roles of pods and machines.
func load(ctx context.Context, region, object string) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(patience)),
	}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, (&stream.Failure{Kind: stream.Usage, Object: object, Msg: "the AWS configuration can't be used", Err: told(err)})
	}
	if cfg.Region == "" {
		return cfg, (&stream.Failure{Kind: stream.Usage, Object: object, Msg: "no AWS region is known"}).WithHint("set AWS_REGION")
	}
	return cfg, nil
}

// refusals are the codes of AWS that say more than their HTTP status.
var refusals = map[string]struct {
	kind      stream.Kind
	msg, hint string
}{
	"ResourceNotFoundException":   {stream.Preflight, "no such secret in this region", "check the name and the region: aws-secret://NAME?region=REGION"},
	"AccessDeniedException":       {stream.Denied, "access is denied", "the role needs secretsmanager:GetSecretValue on the secret, and kms:Decrypt on its key"},
	"DecryptionFailure":           {stream.Denied, "the secret can't be decrypted", "the role needs kms:Decrypt on the secret's key"},
	"UnrecognizedClientException": {stream.Denied, "the AWS credentials are not known", "check the AWS credentials"},
	"InvalidSignatureException":   {stream.Denied, "the AWS credentials are not the right ones", "check the AWS credentials, and this machine's clock"},
	"ExpiredTokenException":       {stream.Denied, "the AWS credentials have expired", "get new ones"},
	"InvalidRequestException":     {stream.Preflight, "the secret can't be read", "is it marked for deletion?"},
	"InvalidParameterException":   {stream.Usage, "not a secret's name", ""},
	"ValidationException":         {stream.Usage, "not a secret's name", ""},
	"ThrottlingException":         {stream.Outage, "AWS asks for fewer requests", "try again"},
	"InternalServiceError":        {stream.Outage, "AWS failed", "try again"},
	"MissingAuthenticationToken":  {stream.Denied, "there are no AWS credentials", "set them as for the aws command"},
	"InvalidClientTokenId":        {stream.Denied, "the AWS credentials are not known", "check the AWS credentials"},
	"SignatureDoesNotMatch":       {stream.Denied, "the AWS credentials are not the right ones", "check the AWS credentials"},
	"InvalidIdentityToken":        {stream.Denied, "the pod's role can't be taken on", "check the role's trust policy and the service account's annotation"},
	"AccessDenied":                {stream.Denied, "the role can't be taken on", "check the role's trust policy"},
	"ExpiredToken":                {stream.Denied, "the AWS credentials have expired", "get new ones"},
	"RequestExpired":              {stream.Denied, "this machine's clock is not AWS's", "set the clock"},
	"UnauthorizedException":       {stream.Denied, "the AWS sign-in has expired", "sign in again: aws sso login"},
	"IDPRejectedClaim":            {stream.Denied, "the pod's role can't be taken on", "check the role's trust policy"},
	"IDPCommunicationError":       {stream.Outage, "AWS can't reach the identity provider", "try again"},
	"ServiceUnavailable":          {stream.Outage, "AWS failed", "try again"},
}

// failure says what an error of the SDK means.
func failure(ctx context.Context, object, doing string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	f := &stream.Failure{Kind: stream.Failed, Object: object, Msg: doing, Err: told(err)}
	var api smithy.APIError
	var answer *smithyhttp.ResponseError
	var network net.Error
	var sent *smithyhttp.RequestSendError
	var address *url.Error
	switch {
	case errors.As(err, &api) && refusals[api.ErrorCode()].msg != "":
		r := refusals[api.ErrorCode()]
		f.Kind, f.Msg, f.Hint = r.kind, doing+": "+r.msg, r.hint
	case errors.As(err, &answer) && answer.Response != nil && (answer.HTTPStatusCode() == 401 || answer.HTTPStatusCode() == 403):
		f.Kind, f.Hint = stream.Denied, "check the AWS credentials"
	case errors.As(err, &answer) && answer.Response != nil && answer.HTTPStatusCode() >= 300 && answer.HTTPStatusCode() < 500:
	case strings.Contains(err.Error(), "get credentials"), strings.Contains(err.Error(), "refresh cached credentials"), strings.Contains(err.Error(), "get identity"):
		f.Kind, f.Msg, f.Hint = stream.Denied, doing+": there are no AWS credentials", "set them as for the aws command: AWS_PROFILE, AWS_ACCESS_KEY_ID, a role of the pod or the machine"
	case errors.As(err, &answer), errors.As(err, &network), errors.As(err, &sent), errors.As(err, &address), errors.Is(err, context.DeadlineExceeded):
		f.Kind, f.Hint = stream.Outage, "check the network to AWS: a private subnet needs an endpoint for the service"
	}
	return f
}

// told is an SDK's error in one line.
func told(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != "" {
		return errors.New(api.ErrorCode() + ": " + strings.Join(strings.Fields(api.ErrorMessage()), " "))
	}
	var sent *smithyhttp.RequestSendError
	if errors.As(err, &sent) {
		err = sent.Err // what is around it tells of the SDK
	}
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

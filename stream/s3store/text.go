package s3store

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// told is an error of the SDK with a text for people: one line, without the chain of what the SDK
// was doing.
type told struct {
	text string
	err  error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.err }

// tell gives an error of the SDK its text.
func tell(err error) error { return &told{line(err), err} }

// longest is how many bytes of a server's text are shown.
const longest = 400

// line is what a user should read of an error of the SDK: a server's code and message, or why it could
// not be asked. Where the operator of the server can look the request up, its ID follows.
func line(err error) string {
	var left *partsLeft
	if errors.As(err, &left) {
		return left.Error()
	}
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		if st := status(err); st >= 300 {
			return fmt.Sprintf("status %d %s", st, http.StatusText(st)) + request(err)
		}
		return plain(cause(err).Error())
	}
	text := answer.ErrorCode()
	if text == "" || text == "UnknownError" {
		text = fmt.Sprintf("status %d", status(err))
	}
	if msg := answer.ErrorMessage(); msg != "" && msg != text && msg != "UnknownError" {
		text += ": " + msg
	}
	return plain(text) + request(err)
}

// request names the request that the server answered with err, where its operator may want to look it up.
func request(err error) string {
	var answer interface{ ServiceRequestID() string }
	if status(err) < 500 && code(err) != "AccessDenied" || !errors.As(err, &answer) || answer.ServiceRequestID() == "" {
		return ""
	}
	return fmt.Sprintf(" (request %s)", plain(answer.ServiceRequestID()))
}

// cause leaves out what wraps an error without saying why it happened.
func cause(err error) error {
	for {
		var operation *smithy.OperationError
		var attempts *retry.MaxAttemptsError
		var sent *smithyhttp.RequestSendError
		var address *url.Error
		next := error(nil)
		switch {
		case errors.As(err, &operation):
			next = operation.Err
		case errors.As(err, &attempts):
			next = attempts.Err
		case errors.As(err, &sent):
			next = sent.Err
		case errors.As(err, &address):
			next = address.Err
		}
		if next == nil {
			return err
		}
		err = next
	}
}

// plain makes one line of bounded length of a text that a server may have written.
func plain(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	return s
}

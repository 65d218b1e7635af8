package stream

import (
	"errors"
	"fmt"
)

// Kind classifies a failure by what its user can do about it. The command maps
// each kind to an exit code; libraries never exit.
type Kind uint8

// The kinds of failure.
const (
	// Failed is a failure with no class of its own.
	Failed Kind = iota
	// Usage is a wrong flag or setting.
	Usage
	// Preflight is a refusal before the target was touched.
	Preflight
	// Busy means that another run holds the target.
	Busy
	// Denied is a missing privilege or a failed authentication.
	Denied
	// Outage is a server or a network that went away; a rerun may succeed.
	Outage
	// NotResumable means that the work cannot go on and must start again.
	NotResumable
	// Mismatch means that the target differs from the snapshot.
	Mismatch
	// Integrity means that an archive is not what it says it is.
	Integrity
)

// Failure is an error for a user's eyes: what happened, to which object, and
// what to do next. It never holds a secret.
type Failure struct {
	Kind Kind
	// Object is what it happened to; "" where the message says so already.
	Object string
	// Msg is what happened, in one sentence without a full stop.
	Msg string
	// Hint is what to do next; "" where that is plain.
	Hint string
	// Err is the cause; nil where there is none.
	Err error
}

// Error says what happened, to which object, and why; the hint stands apart.
func (f *Failure) Error() string {
	s := f.Msg
	if f.Object != "" {
		s = f.Object + ": " + s
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Fail returns a Failure of the kind with a formatted message.
func Fail(k Kind, format string, args ...any) *Failure {
	return &Failure{Kind: k, Msg: fmt.Sprintf(format, args...)}
}

// Because sets the cause and returns f.
func (f *Failure) Because(err error) *Failure { f.Err = err; return f }

// WithHint sets what to do next and returns f.
func (f *Failure) WithHint(format string, args ...any) *Failure {
	f.Hint = fmt.Sprintf(format, args...)
	return f
}

// KindOf returns the kind of the outermost Failure in err's chain that has a
// class of its own, Failed where there is none.
func KindOf(err error) Kind {
	for err != nil {
		var f *Failure
		if !errors.As(err, &f) {
			return Failed
		}
		if f.Kind != Failed {
			return f.Kind
		}
		err = f.Err
	}
	return Failed
}

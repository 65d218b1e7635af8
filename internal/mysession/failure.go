package mysession

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/pgmove/pgmove/stream"
)

// Numbers of the server's errors that pgmove tells apart.
const (
	ErrLockWait      = 1205 // ER_LOCK_WAIT_TIMEOUT
	ErrDeadlock      = 1213 // ER_LOCK_DEADLOCK
	ErrNoSuchTable   = 1146 // ER_NO_SUCH_TABLE
	ErrInterrupted   = 1317 // ER_QUERY_INTERRUPTED
	ErrTableChanged  = 1412 // ER_TABLE_DEF_CHANGED
	ErrUnknownSystem = 1193 // ER_UNKNOWN_SYSTEM_VARIABLE

	errSecureTransport = 3159 // ER_SECURE_TRANSPORT_REQUIRED
)

var (
	denied  = []uint16{1044, 1045, 1130, 1142, 1143, 1227, 1370, 1410, 1419, 1698, 1820, 1862, 3118, 3879}
	busy    = []uint16{1040, 1053, 1203, 1226, 4031}
	absent  = []uint16{1049}
	severed = []uint16{1053, 1079, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 4031}
	locked  = []uint16{ErrLockWait, 1213, 3572}
)

// Code returns the number of the server's error, 0 where err is none.
func Code(err error) uint16 {
	var me *mysql.MySQLError
	if errors.As(err, &me) {
		return me.Number
	}
	return 0
}

// Denied reports whether err is the server's refusal for want of a privilege.
func Denied(err error) bool { return slices.Contains(denied, Code(err)) }

// Locked reports whether err means that others' locks were waited for in vain.
func Locked(err error) bool { return slices.Contains(locked, Code(err)) }

// Lost reports whether err means that the session's connection is gone.
func Lost(err error) bool {
	if err == nil {
		return false
	}
	if n := Code(err); n != 0 {
		return slices.Contains(severed, n)
	}
	var ne net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) || errors.As(err, &ne) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, mysql.ErrPktSync) || errors.Is(err, mysql.ErrPktSyncMul) // what was sent while the server hung up
}

// explain turns a failure to connect into one that says what to do.
func (c *Conn) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	f := &stream.Failure{Kind: stream.Failed, Object: c.Name(), Msg: "cannot connect", Err: c.scrub(err)}
	var me *mysql.MySQLError
	if errors.As(err, &me) {
		f.Err = c.scrub(serverError(me))
		switch {
		case me.Number == errSecureTransport:
			f.Kind, f.Hint = stream.Denied, "the server takes encrypted connections alone (require_secure_transport): give sslmode=require, or verify-full, in the URL"
		case slices.Contains(absent, me.Number):
			f.Kind, f.Hint = stream.Preflight, "create the database first: pgmove never does"
		case slices.Contains(busy, me.Number), Lost(err):
			f.Kind, f.Hint = stream.Outage, "try again when the server takes connections"
		case slices.Contains(denied, me.Number):
			f.Kind, f.Hint = stream.Denied, "check the user and the password, and from which hosts the account may connect"
			if !c.TLS() {
				f.Hint += "; if it or the server takes encrypted connections alone (REQUIRE SSL, require_secure_transport), give sslmode=require or verify-full"
			}
		}
		return f
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, mysql.ErrNoTLS):
		f.Kind, f.Hint = stream.Preflight, "the server offers no TLS: have it set up there, or name sslmode=disable if the network can be trusted"
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &verification), errors.As(err, &record):
		f.Kind, f.Hint = stream.Denied, "the server could not prove that it is the right one: check the host's name and the certificates that sslrootcert names"
	case errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrOldPassword), errors.Is(err, mysql.ErrUnknownPlugin),
		errors.Is(err, mysql.ErrNativePassword):
		f.Kind, f.Hint = stream.Denied, "the account's authentication plugin needs sslmode=verify-full, or is not known to pgmove"
	case Lost(err), errors.Is(err, context.DeadlineExceeded), isNetwork(err):
		f.Kind, f.Hint = stream.Outage, "check the host, the port and the network between"
	}
	return f
}

func isNetwork(err error) bool {
	var oe *net.OpError
	var de *net.DNSError
	return errors.As(err, &oe) || errors.As(err, &de)
}

// Explain turns an error of a statement into a Failure for object: Outage for a lost connection, Denied for a
// missing privilege, else of kind Failed.
func Explain(err error, object string) error {
	if err == nil || errors.Is(err, context.Canceled) || stream.KindOf(err) != stream.Failed {
		return err
	}
	f := &stream.Failure{Kind: stream.Failed, Object: object, Msg: "failed", Err: err}
	var me *mysql.MySQLError
	if errors.As(err, &me) {
		f.Msg, f.Err = "the server refused", serverError(me)
	}
	switch {
	case Lost(err):
		f.Kind, f.Msg = stream.Outage, "the connection was lost"
	case Denied(err):
		f.Kind, f.Hint = stream.Denied, "grant the account what the server names, or run as another one"
	case Code(err) == 1290 || Code(err) == 3948 || Code(err) == 1148 || Code(err) == 4166:
		if strings.Contains(strings.ToLower(err.Error()), "local") {
			f.Kind, f.Hint = stream.Preflight, "set local_infile = ON on the server"
		}
	}
	return f
}

// serverError is the server's message in one line, printable whatever it quotes.
func serverError(me *mysql.MySQLError) error {
	return &refusal{text: fmt.Sprintf("%s (error %d, SQLSTATE %s)", stream.Text(me.Message).Display(), me.Number, me.SQLState[:]), err: me}
}

type refusal struct {
	text string
	err  *mysql.MySQLError
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.err }

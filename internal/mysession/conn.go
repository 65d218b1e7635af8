package mysession

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	osuser "os/user"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pgmove/pgmove/internal/transit"
	"github.com/pgmove/pgmove/stream"
)

// Conn is a parsed connection string: mysql://user:password@host:3306/database?sslmode=…, or
// the same with mariadb://. Its parameters are those of pgmove's PostgreSQL URLs, or as MySQL's own tools
// name them:
//
//	sslmode, ssl-mode, tls    disable, prefer (the default), require, verify-ca, verify-full
//	sslrootcert, ssl-ca       a file with the certificates to trust; the system's where it is left out
//	sslcert, ssl-cert         the client's certificate, with
//	sslkey, ssl-key           its key
//	socket                    the path of a Unix socket, in place of host and port
//	password                  in place of the one before the host
//	connect_timeout           seconds; 15 where it is left out
//
// A password that the URL doesn't have is taken from $MYSQL_PWD.
type Conn struct {
	user, password, database string
	host                     string
	port                     int
	socket                   string
	mode                     tlsMode
	tls                      *tls.Config // nil for disable
	timeout                  time.Duration
	seen                     atomic.Pointer[string] // the TLS version of the last connection; see Security

	// StandStill is how long a connection may wait without a byte before the server is asked whether
	// it lives; two minutes where it is 0. See watch.
	StandStill time.Duration
}

// tlsMode says how much of the server is believed.
type tlsMode uint8

const (
	disable tlsMode = iota
	prefer
	require
	verifyCA
	verifyFull
)

var tlsModes = map[string]tlsMode{
	"disable": disable, "disabled": disable, "prefer": prefer, "preferred": prefer, "require": require, "required": require,
	"verify-ca": verifyCA, "verify_ca": verifyCA, "verify-full": verifyFull, "verify-identity": verifyFull, "verify_identity": verifyFull,
}

// parameters are the names that each parameter goes by.
var parameters = map[string]string{
	"sslmode": "sslmode", "ssl-mode": "sslmode", "tls": "sslmode", "sslrootcert": "ca", "ssl-ca": "ca",
	"sslcert": "cert", "ssl-cert": "cert", "sslkey": "key", "ssl-key": "key",
	"socket": "socket", "password": "password", "connect_timeout": "timeout",
}

const defaultPort = 3306

// IsURL reports whether s is to be read by Parse: a URL of MySQL or MariaDB, sound or not.
func IsURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "mysql") || strings.EqualFold(scheme, "mariadb"))
}

// Parse reads a connection string. Its errors are Failures of kind Usage and show no password.
func Parse(s string) (*Conn, error) {
	u, err := url.Parse(s)
	if err != nil || !IsURL(s) || u.Fragment != "" || strings.HasSuffix(s, "#") || u.Opaque != "" {
		return nil, notParsed(s, "")
	}
	if u.User == nil && strings.Contains(u.Path+u.Host, "@") {
		return nil, notParsed(s, "") // most likely a password with a slash in it
	}
	c := &Conn{host: u.Hostname(), port: defaultPort, mode: prefer, timeout: 15 * time.Second}
	if c.host == "" {
		c.host = "127.0.0.1"
	}
	if p := u.Port(); p != "" {
		if c.port, err = strconv.Atoi(p); err != nil || c.port < 1 || c.port > 65535 {
			return nil, notParsed(s, "the port is not a number from 1 to 65535")
		}
	}
	c.user = u.User.Username()
	c.password, _ = u.User.Password()
	if c.user == "" {
		if me, err := osuser.Current(); err == nil {
			c.user = me.Username
		}
	}
	c.database = strings.TrimPrefix(u.Path, "/")
	if c.database == "" {
		return nil, notParsed(s, "it names no database")
	}
	values, err := given(u, s)
	if err != nil {
		return nil, err
	}
	if err := c.set(values, s); err != nil {
		return nil, err
	}
	if c.password == "" {
		c.password = os.Getenv("MYSQL_PWD")
	}
	return c, nil
}

// given reads the parameters, by pgmove's own names for them.
func given(u *url.URL, s string) (map[string]string, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, notParsed(s, "its parameters are not written as key=value&key=value")
	}
	values := map[string]string{}
	for k, v := range query {
		name, known := parameters[k]
		if !known {
			return nil, notParsed(s, "it has a parameter that pgmove doesn't know") // which may be half a password
		}
		if _, twice := values[name]; twice || len(v) != 1 {
			return nil, notParsed(s, "it has the parameter "+k+" twice")
		}
		values[name] = v[0]
	}
	return values, nil
}

// set takes over the parameters.
func (c *Conn) set(values map[string]string, s string) error {
	c.socket = values["socket"]
	if p := values["password"]; p != "" {
		c.password = p
	}
	if t, ok := values["timeout"]; ok {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 || n > 3600 {
			return notParsed(s, "connect_timeout is not a number of seconds from 1 to 3600")
		}
		c.timeout = time.Duration(n) * time.Second
	}
	if m, ok := values["sslmode"]; ok {
		if c.mode, ok = tlsModes[strings.ToLower(m)]; !ok {
			return notParsed(s, "sslmode is none of disable, prefer, require, verify-ca and verify-full")
		}
	} else if c.socket != "" {
		c.mode = disable // nothing stands between
	}
	if values["ca"] != "" && c.mode < verifyCA {
		if _, asked := values["sslmode"]; asked {
			return notParsed(s, "sslrootcert is given, and sslmode doesn't let it be used: verify-ca and verify-full do")
		}
		c.mode = verifyFull
	}
	var err error
	if c.tls, err = c.tlsConfig(values["ca"], values["cert"], values["key"]); err != nil {
		return (&stream.Failure{Kind: stream.Usage, Object: c.Name(), Msg: "TLS cannot be set up", Err: err}).
			WithHint("check the files that sslrootcert, sslcert and sslkey name")
	}
	return nil
}

func (c *Conn) tlsConfig(ca, cert, key string) (*tls.Config, error) {
	if c.mode == disable {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: c.host, MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM format", ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("a client's certificate and its key go together: one is missing")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	switch c.mode {
	case prefer, require:
		cfg.InsecureSkipVerify = true
	case verifyCA:
		cfg.InsecureSkipVerify = true // but for the name all is verified, here
		roots := cfg.RootCAs
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, c := range s.PeerCertificates[1:] {
				o.Intermediates.AddCert(c)
			}
			_, err := s.PeerCertificates[0].Verify(o)
			return err
		}
	}
	return cfg, nil
}

// Name is the connection's host and database for messages; no user, no password.
func (c *Conn) Name() string {
	at := net.JoinHostPort(c.host, strconv.Itoa(c.port))
	if c.socket != "" {
		at = c.socket
	}
	return stream.Text(at).Display() + "/" + stream.Text(c.database).Display()
}

// Database is the name of the database.
func (c *Conn) Database() string { return c.database }

// User is the account's name, without its host.
func (c *Conn) User() string { return c.user }

// TLS reports whether the connection is encrypted if the server can.
func (c *Conn) TLS() bool { return c.mode != disable }

// Verified reports whether the server must prove that it is who it says it is.
func (c *Conn) Verified() bool { return c.mode >= verifyCA }

// Security returns how connections are protected on their way.
func (c *Conn) Security() transit.Security {
	s := transit.Security{Mode: c.mode.String(), Local: c.socket != "" || transit.Local(c.host)}
	if c.socket != "" {
		s.Mode = "socket"
	}
	if p := c.seen.Load(); p != nil {
		s.TLS, s.Tried = *p, true
	}
	return s
}

// String is the mode's name as libpq has it.
func (m tlsMode) String() string {
	return [...]string{"disable", "prefer", "require", "verify-ca", "verify-full"}[m]
}

// scrub takes the password out of an error's text.
func (c *Conn) scrub(err error) error {
	s := err.Error()
	if c.password != "" && strings.Contains(s, c.password) {
		return errors.New(strings.ReplaceAll(s, c.password, "(password)"))
	}
	return err
}

// notParsed is the failure for a string that is none. What is wrong with it may be its password, so only
// what can be none is shown: what follows the last "@", without parameters.
func notParsed(s, why string) error {
	shown := "…"
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if at := strings.IndexAny(s[i:], "?#&="); at >= 0 {
			shown += s[i : i+at]
		} else {
			shown += s[i:]
		}
		// A password in a parameter may itself hold an "@".
		if strings.ContainsAny(s[:i], "?") {
			shown = "…"
		}
	}
	if why == "" {
		why = "it is no mysql:// or mariadb:// URL; in its password, special characters are written as %40 for @, %2F for /"
	}
	return (&stream.Failure{Kind: stream.Usage, Object: stream.Text(shown).Display(), Msg: "not a connection string", Err: errors.New(why)}).
		WithHint("write mysql://user@host:3306/database, and the password into MYSQL_PWD")
}

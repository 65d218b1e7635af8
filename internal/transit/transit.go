// Package transit says how well a session is protected on its way to a server, of whichever engine.
//
// It imports the standard library alone.
package transit

import (
	"net"
	"strings"
)

// Security says how a connection is protected on its way: what was asked for, and what came of it.
type Security struct {
	// Mode is the sslmode as it works out, by libpq's names: require with a root certificate is verify-ca, and sslrootcert=system is
	// verify-full. It is "socket" where all hosts are Unix sockets.
	Mode string `json:"sslmode"`
	// TLS is the version of the last connection, "" where that was not encrypted or there was none yet.
	TLS string `json:"tls,omitempty"`
	// Tried says that there was a connection.
	Tried bool `json:"-"`
	// Local says that no other machine is on the way.
	Local bool `json:"local,omitempty"`
}

// Weakness says what is amiss with the protection, "" where nothing is.
func (s Security) Weakness() string {
	switch {
	case s.Local || s.Mode == "verify-full" || s.Mode == "socket":
		return ""
	case s.TLS == "":
		return "the connection is not encrypted (sslmode=" + s.Mode + "): who is on the way reads all"
	case s.Mode == "verify-ca":
		return "the server's name is not checked (sslmode=verify-ca): any server with a certificate of that authority is taken"
	}
	return "the server's certificate is not checked (sslmode=" + s.Mode + "): who is on the way can pose as it; sslmode=verify-full checks it"
}

// Local reports whether a host is this machine.
func Local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

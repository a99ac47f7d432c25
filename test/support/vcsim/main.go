// A vCenter for tests: govmomi's simulator with the gaps closed that tests of fencing run into.
// It listens on loopback only, prints one line of JSON when it is ready, and ends when its standard input does.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
)

type ready struct {
	URL     string `json:"url"`
	Control string `json:"control"`
	CA      string `json:"ca,omitempty"`
	Pid     int    `json:"pid"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "loopback address of the SDK endpoint")
	useTLS := flag.Bool("tls", false, "serve https with a certificate made at start")
	users := flag.String("users", "", "comma-separated name:password pairs; empty lets everyone in")
	verbose := flag.Bool("verbose", false, "log to standard error")
	flag.Parse()
	if !*verbose {
		log.SetOutput(io.Discard)
	}
	if err := serve(*listen, *useTLS, parseUsers(*users)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(listen string, useTLS bool, users map[string]string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("-listen must be a loopback address and a port, not %q", listen)
	}
	model := simulator.VPX()
	if err := model.Create(); err != nil {
		return err
	}
	// The simulated datastores are temporary directories of this process.
	defer model.Remove()

	service := model.Service
	service.Listen = &url.URL{Host: listen}
	// REST: sessions, tags, content libraries.
	service.RegisterEndpoints = true
	certificate := ""
	if useTLS {
		pair, encoded, err := selfSigned()
		if err != nil {
			return err
		}
		service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		certificate = encoded
	}
	server := service.NewServer()
	// Nobody knows the address yet, so nobody can reach the simulator's own handler before it is replaced.
	front := newFront(service, server.Config.Handler, users)
	server.Config.Handler = front

	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(control, front.controlHandler()) }()

	line, err := json.Marshal(ready{
		URL:     fmt.Sprintf("%s://%s/sdk", server.URL.Scheme, server.Listener.Addr()),
		Control: "http://" + control.Addr().String(),
		CA:      certificate,
		Pid:     os.Getpid(),
	})
	if err != nil {
		return err
	}
	fmt.Println(string(line))

	ended := make(chan struct{})
	go func() {
		// The test run holds the other end; when it is gone, so is the need for this process.
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-ended:
	case <-signals:
	}
	return nil
}

func parseUsers(text string) map[string]string {
	users := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		if name, password, found := strings.Cut(pair, ":"); found {
			users[name] = password
		}
	}
	return users
}

func selfSigned() (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "vcenter.test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		IPAddresses:           []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("::1")},
		DNSNames:              []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	encoded := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, encoded, nil
}

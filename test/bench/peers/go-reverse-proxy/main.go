// A reverse proxy that lets a call through where it only reads or carries the token that the map has for its target.
package main

import (
	"bufio"
	"crypto/tls"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	tokens := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		target, token, _ := strings.Cut(lines.Text(), " ")
		tokens[target] = token
	}
	upstream, err := url.Parse(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	proxy.Transport = &http.Transport{
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 512,
		DisableCompression:  true,
		// The certificate is of this run's own making; the other peers do not look at it either.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	guard := func(answer http.ResponseWriter, request *http.Request) {
		token, known := tokens[request.URL.Path]
		if request.Method != http.MethodGet && (!known || request.Header.Get("Fencing-Token") != token) {
			http.Error(answer, "stale token", http.StatusPreconditionFailed)
			return
		}
		request.Header.Del("Fencing-Token")
		proxy.ServeHTTP(answer, request)
	}
	if len(os.Args) > 5 {
		server := &http.Server{Addr: os.Args[2], Handler: http.HandlerFunc(guard), TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
		log.Fatal(server.ListenAndServeTLS(os.Args[4], os.Args[5]))
	}
	log.Fatal(http.ListenAndServe(os.Args[2], http.HandlerFunc(guard)))
}

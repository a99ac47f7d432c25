// An HTTP server of Go's net/http that says in a field of each answer how it has read the request.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
)

type reading struct {
	Method string `json:"method"`
	Target string `json:"target"`
	Body   string `json:"body"`
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			response.WriteHeader(400)
			return
		}
		text, _ := json.Marshal(reading{request.Method, request.RequestURI, base64.StdEncoding.EncodeToString(body)})
		response.Header().Set("X-Read", base64.StdEncoding.EncodeToString(text))
	})))
}

// The checker behind nginx: says 204 where Fencing-Token is the one that the map has for X-Original-URI, else 403.
package main

import (
	"bufio"
	"log"
	"net/http"
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
	check := func(answer http.ResponseWriter, request *http.Request) {
		token, known := tokens[request.Header.Get("X-Original-Uri")]
		if known && request.Header.Get("Fencing-Token") == token {
			answer.WriteHeader(http.StatusNoContent)
		} else {
			answer.WriteHeader(http.StatusForbidden)
		}
	}
	log.Fatal(http.ListenAndServe(os.Args[2], http.HandlerFunc(check)))
}

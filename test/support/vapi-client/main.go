// A client of vCenter's REST API as others have it: govmomi's, unmodified. It is told what to do line by line, and answers
// each with a line: "ok" and what came of it, or "error" and what it would have printed.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func main() {
	address, err := url.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	vim := &vim25.Client{Client: soap.NewClient(address, true)}
	client := rest.NewClient(vim)
	lines := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if words[0] == "connect" {
			// As govc does: one address for both APIs.
			address.User = url.UserPassword(words[1], words[2])
			if both, err := govmomi.NewClient(context.Background(), address, true); err != nil {
				fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", " "))
				continue
			} else {
				vim = both.Client
				client = rest.NewClient(vim)
				words[0] = "login"
			}
		}
		answer, err := do(vim, client, words)
		if err != nil {
			fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Println(strings.TrimSpace("ok " + answer))
	}
}

func do(vim *vim25.Client, client *rest.Client, words []string) (string, error) {
	ctx := context.Background()
	tagging, libraries := tags.NewManager(client), library.NewManager(client)
	vm := func(id string) types.ManagedObjectReference {
		return types.ManagedObjectReference{Type: "VirtualMachine", Value: id}
	}
	switch words[0] {
	case "login":
		return "", client.Login(ctx, url.UserPassword(words[1], words[2]))
	case "logout":
		return "", client.Logout(ctx)
	case "off", "on":
		machine := object.NewVirtualMachine(vim, vm(words[1]))
		start := map[string]func(context.Context) (*object.Task, error){"off": machine.PowerOff, "on": machine.PowerOn}[words[0]]
		task, err := start(ctx)
		if err != nil {
			return "", err
		}
		return "", task.Wait(ctx)
	case "category":
		return tagging.CreateCategory(ctx, &tags.Category{Name: words[1], Cardinality: "MULTIPLE"})
	case "tag":
		return tagging.CreateTag(ctx, &tags.Tag{Name: words[1], CategoryID: words[2]})
	case "attach":
		return "", tagging.AttachTag(ctx, words[1], vm(words[2]))
	case "detach":
		return "", tagging.DetachTag(ctx, words[1], vm(words[2]))
	case "attached":
		found, err := tagging.ListAttachedTags(ctx, vm(words[1]))
		return strings.Join(found, " "), err
	case "library":
		backing := library.StorageBackings{DatastoreID: words[2], Type: "DATASTORE"}
		return libraries.CreateLibrary(ctx, library.Library{Name: words[1], Type: "LOCAL", Storage: []library.StorageBackings{backing}})
	case "item":
		return libraries.CreateLibraryItem(ctx, library.Item{Name: words[1], LibraryID: words[2], Type: "iso"})
	case "items":
		found, err := libraries.ListLibraryItems(ctx, words[1])
		return strings.Join(found, " "), err
	case "remove-item":
		return "", libraries.DeleteLibraryItem(ctx, &library.Item{ID: words[1]})
	case "update":
		return libraries.CreateLibraryItemUpdateSession(ctx, library.Session{LibraryItemID: words[1]})
	case "put":
		file, err := libraries.AddLibraryItemFile(ctx, words[1], library.UpdateFile{Name: words[2], SourceType: "PUSH", Size: int64(len(words[3]))})
		if err != nil {
			return "", err
		}
		target, err := url.Parse(file.UploadEndpoint.URI)
		if err != nil {
			return "", err
		}
		upload := soap.DefaultUpload
		upload.ContentLength = int64(len(words[3]))
		return target.Path, client.Upload(ctx, strings.NewReader(words[3]), target, &upload)
	case "complete":
		return "", libraries.CompleteLibraryItemUpdateSession(ctx, words[1])
	}
	return "", errors.New("unknown command " + words[0])
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The table of `image ...`, `builder ...` and their short forms. */
#include "base/macros.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/flag_check.h"

#define FORMAT_HELP \
	"Choose what is printed:\n" \
	"'table':            columns with a header line (default)\n" \
	"'table TEMPLATE':   columns by a Go template\n" \
	"'json':             one JSON document a line\n" \
	"'TEMPLATE':         text by a Go template"
#define PLATFORM_HELP "Platform, as os[/arch[/variant]] (\"linux/amd64\")"
#define TRUST \
	{ \
		"disable-content-trust", 0, FLAG_BOOL, NULL, "true", "Do not verify signatures", \
		    NULL, 0 \
	}

static const struct flag build_flags[] = {
	{ "add-host", 0, FLAG_LIST, NULL, NULL, "Extra line for /etc/hosts (\"host:ip\")",
	  check_add_host, 0 },
	{ "allow", 0, FLAG_STRINGS, NULL, NULL,
	  "Entitlements (\"network.host\", \"security.insecure\")", NULL, 0 },
	{ "build-arg", 0, FLAG_LIST, NULL, NULL, "Values of build arguments", NULL, 0 },
	{ "build-context", 0, FLAG_LIST, NULL, NULL, "Further contexts (name=path)", NULL, 0 },
	{ "cache-from", 0, FLAG_STRINGS, NULL, NULL, "Images whose layers may serve as cache", NULL,
	  0 },
	{ "cgroup-parent", 0, FLAG_STRING, NULL, NULL, "Cgroup under which RUN steps work", NULL,
	  0 },
	{ "check", 0, FLAG_BOOL, NULL, NULL, "Only check the Dockerfile", NULL, 0 },
	{ "compress", 0, FLAG_BOOL, NULL, NULL, "Send the context compressed with gzip", NULL, 0 },
	{ "cpu-period", 0, FLAG_INT, NULL, NULL, "Period of the CFS scheduler in microseconds",
	  NULL, 0 },
	{ "cpu-quota", 0, FLAG_INT, NULL, NULL, "CPU time in one CFS period in microseconds", NULL,
	  0 },
	{ "cpu-shares", 'c', FLAG_INT, NULL, NULL, "CPU shares, relative to other containers", NULL,
	  0 },
	{ "cpuset-cpus", 0, FLAG_STRING, NULL, NULL, "CPUs to run on (0-3, 0,1)", NULL, 0 },
	{ "cpuset-mems", 0, FLAG_STRING, NULL, NULL, "Memory nodes to use (0-3, 0,1)", NULL, 0 },
	TRUST,
	{ "explain", 0, FLAG_BOOL, NULL, NULL, "Say why each step ran", NULL, 0 },
	{ "file", 'f', FLAG_STRING, NULL, NULL, "Path of the Dockerfile (else PATH/Dockerfile)",
	  NULL, 0 },
	{ "force-rm", 0, FLAG_BOOL, NULL, NULL, "Always remove the containers of the steps", NULL,
	  0 },
	{ "iidfile", 0, FLAG_STRING, NULL, NULL, "File that receives the image's ID", NULL, 0 },
	{ "isolation", 0, FLAG_STRING, NULL, NULL, "Isolation technology", NULL, 0 },
	{ "label", 0, FLAG_LIST, NULL, NULL, "Labels of the image", check_label, 0 },
	{ "memory", 'm', FLAG_BYTES, NULL, NULL, "Limit of memory", NULL, 0 },
	{ "memory-swap", 0, FLAG_BYTES, NULL, NULL,
	  "Limit of memory and swap together, -1 for unlimited swap", check_swap, 0 },
	{ "network", 0, FLAG_STRING, NULL, "default", "Network of the RUN steps", NULL, 0 },
	{ "no-cache", 0, FLAG_BOOL, NULL, NULL, "Do not use the cache", NULL, 0 },
	{ "no-cache-filter", 0, FLAG_STRINGS, NULL, NULL, "Stages that are never from the cache",
	  NULL, 0 },
	{ "output", 'o', FLAG_LIST, NULL, NULL, "Where the result goes (type=local,dest=path)",
	  NULL, 0 },
	{ "plan", 0, FLAG_BOOL, NULL, NULL, "Say which steps would run, and run nothing", NULL, 0 },
	{ "platform", 0, FLAG_PLATFORM, NULL, NULL, "Platform of the image", NULL, 0 },
	{ "progress", 0, FLAG_STRING, NULL, "auto",
	  "How progress is shown (\"auto\", \"plain\", \"tty\", \"quiet\", \"rawjson\")", NULL, 0 },
	{ "pull", 0, FLAG_BOOL, NULL, NULL, "Always look for newer base images", NULL, 0 },
	{ "quiet", 'q', FLAG_BOOL, NULL, NULL, "Print only the image's ID", NULL, 0 },
	{ "real-times", 0, FLAG_BOOL, NULL, NULL, "Keep wall-clock times: not reproducible", NULL,
	  0 },
	{ "rm", 0, FLAG_BOOL, NULL, "true", "Remove the containers of the steps after success",
	  NULL, 0 },
	{ "secret", 0, FLAG_LIST, NULL, NULL, "Secrets of the build (id=name,src=path)", NULL, 0 },
	{ "security-opt", 0, FLAG_STRINGS, NULL, NULL, "Security options", NULL, 0 },
	{ "shm-size", 0, FLAG_BYTES, NULL, NULL, "Size of /dev/shm", NULL, 0 },
	{ "squash", 0, FLAG_BOOL, NULL, NULL, "Make one layer of the new ones", NULL, 0 },
	{ "tag", 't', FLAG_LIST, NULL, NULL, "Name, and tag if wanted, as name:tag", NULL, 0 },
	{ "target", 0, FLAG_STRING, NULL, NULL, "Stage to build", NULL, 0 },
	{ "ulimit", 0, FLAG_LIST, "ulimit", "[]", "Resource limits", check_ulimit, 0 },
};

static const struct flag pull_flags[] = {
	{ "all-tags", 'a', FLAG_BOOL, NULL, NULL, "All tags of the repository", NULL, 0 },
	TRUST,
	{ "platform", 0, FLAG_PLATFORM, NULL, NULL, "Platform of the image", NULL, 0 },
	{ "quiet", 'q', FLAG_BOOL, NULL, NULL, "No progress", NULL, 0 },
};

static const struct flag push_flags[] = {
	{ "all-tags", 'a', FLAG_BOOL, NULL, NULL, "All tags of the repository", NULL, 0 },
	TRUST,
	{ "platform", 0, FLAG_PLATFORM, NULL, NULL,
	  "Push the manifest of this platform alone,\nas os[/arch[/variant]] (\"linux/amd64\")",
	  NULL, 0 },
	{ "quiet", 'q', FLAG_BOOL, NULL, NULL, "No progress", NULL, 0 },
};

static const struct flag images_flags[] = {
	{ "all", 'a', FLAG_BOOL, NULL, NULL, "All images, intermediate ones too", NULL, 0 },
	{ "digests", 0, FLAG_BOOL, NULL, NULL, "Show digests", NULL, 0 },
	{ "filter", 'f', FLAG_FILTER, NULL, NULL, "Only those that meet the condition", NULL, 0 },
	{ "format", 0, FLAG_STRING, NULL, NULL, FORMAT_HELP, NULL, 0 },
	{ "no-trunc", 0, FLAG_BOOL, NULL, NULL, "Do not shorten the output", NULL, 0 },
	{ "quiet", 'q', FLAG_BOOL, NULL, NULL, "Only the IDs", NULL, 0 },
	{ "tree", 0, FLAG_BOOL, NULL, NULL, "Show images of several platforms as a tree", NULL, 0 },
};

static const struct flag rmi_flags[] = {
	{ "force", 'f', FLAG_BOOL, NULL, NULL, "Remove the image even when it is in use", NULL, 0 },
	{ "no-prune", 0, FLAG_BOOL, NULL, NULL, "Keep untagged parents", NULL, 0 },
	{ "platform", 0, FLAG_STRINGS, NULL, NULL, PLATFORM_HELP, NULL, 0 },
};

static const struct flag history_flags[] = {
	{ "format", 0, FLAG_STRING, NULL, NULL, FORMAT_HELP, NULL, 0 },
	{ "human", 'H', FLAG_BOOL, NULL, "true", "Sizes and times for people", NULL, 0 },
	{ "no-trunc", 0, FLAG_BOOL, NULL, NULL, "Do not shorten the output", NULL, 0 },
	{ "platform", 0, FLAG_PLATFORM, NULL, NULL, PLATFORM_HELP, NULL, 0 },
	{ "quiet", 'q', FLAG_BOOL, NULL, NULL, "Only the IDs", NULL, 0 },
};

static const struct flag save_flags[] = {
	{ "output", 'o', FLAG_STRING, NULL, NULL, "File to write to, instead of STDOUT", NULL, 0 },
	{ "platform", 0, FLAG_PLATFORM, NULL, NULL, PLATFORM_HELP, NULL, 0 },
};

static const struct flag load_flags[] = {
	{ "input", 'i', FLAG_STRING, NULL, NULL, "Archive to read, instead of STDIN", NULL, 0 },
	{ "platform", 0, FLAG_PLATFORM, NULL, NULL, PLATFORM_HELP, NULL, 0 },
	{ "quiet", 'q', FLAG_BOOL, NULL, NULL, "No progress", NULL, 0 },
};

static const struct flag import_flags[] = {
	{ "change", 'c', FLAG_LIST, NULL, NULL, "Dockerfile instruction to apply to the image",
	  NULL, 0 },
	{ "message", 'm', FLAG_STRING, NULL, NULL, "Message of the commit", NULL, 0 },
	{ "platform", 0, FLAG_PLATFORM, NULL, NULL, "Platform of the image", NULL, 0 },
};

static const struct flag inspect_flags[] = {
	{ "format", 'f', FLAG_STRING, NULL, NULL, "'json' or a Go template", NULL, 0 },
	{ "platform", 0, FLAG_PLATFORM, NULL, NULL, PLATFORM_HELP, NULL, 0 },
};

static const struct flag image_prune_flags[] = {
	{ "all", 'a', FLAG_BOOL, NULL, NULL, "All unused images, not only untagged ones", NULL, 0 },
	{ "filter", 0, FLAG_FILTER, NULL, NULL,
	  "Only those that meet the condition (\"until=<timestamp>\")", NULL, 0 },
	{ "force", 'f', FLAG_BOOL, NULL, NULL, "Do not ask", NULL, 0 },
};

static const struct flag builder_prune_flags[] = {
	{ "all", 'a', FLAG_BOOL, NULL, NULL, "All unused cache, not only dangling one", NULL, 0 },
	{ "filter", 0, FLAG_FILTER, NULL, NULL, "Only what meets the condition (\"until=24h\")",
	  NULL, 0 },
	{ "force", 'f', FLAG_BOOL, NULL, NULL, "Do not ask", NULL, 0 },
	{ "keep-storage", 0, FLAG_BYTES, NULL, NULL, "Amount of cache to keep", NULL, 0 },
};

static const struct flag du_flags[] = {
	{ "filter", 0, FLAG_FILTER, NULL, NULL, "Only what meets the condition", NULL, 0 },
	{ "verbose", 0, FLAG_BOOL, NULL, NULL, "Show every property", NULL, 0 },
};

static const struct flag ls_remote_flags[] = {
	{ "format", 0, FLAG_STRING, NULL, NULL, FORMAT_HELP, NULL, 0 },
};

const struct command commands_image[] = {
	{ "image build,build,builder build",
	  "[OPTIONS] PATH | URL | -",
	  "Build an image from a Dockerfile",
	  NULL,
	  { FLAG_SET(build_flags), { 0 } },
	  1,
	  1,
	  0,
	  4,
	  cmd_build,
	  "build -t app .\n    Build the Dockerfile of this directory as app:latest.\n"
	  "build --target test --build-arg V=2 .\n    Build up to the stage test." },
	{ "image pull,pull",
	  "[OPTIONS] NAME[:TAG|@DIGEST]",
	  "Download an image from a registry",
	  NULL,
	  { FLAG_SET(pull_flags), { 0 } },
	  1,
	  1,
	  0,
	  5,
	  cmd_pull,
	  NULL },
	{ "image push,push",
	  "[OPTIONS] NAME[:TAG]",
	  "Upload an image to a registry",
	  NULL,
	  { FLAG_SET(push_flags), { 0 } },
	  1,
	  1,
	  0,
	  6,
	  cmd_push,
	  NULL },
	{ "image ls,image list,images",
	  "[OPTIONS] [REPOSITORY[:TAG]]",
	  "List images",
	  NULL,
	  { FLAG_SET(images_flags), { 0 } },
	  0,
	  1,
	  0,
	  7,
	  cmd_images,
	  NULL },
	{ "image history,history",
	  "[OPTIONS] IMAGE",
	  "Show how an image was made",
	  NULL,
	  { FLAG_SET(history_flags), { 0 } },
	  1,
	  1,
	  0,
	  0,
	  cmd_history,
	  NULL },
	{ "image import,import",
	  "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
	  "Make an image of a tarball's files",
	  NULL,
	  { FLAG_SET(import_flags), { 0 } },
	  1,
	  -1,
	  0,
	  0,
	  cmd_import,
	  NULL },
	{ "image inspect",
	  "[OPTIONS] IMAGE [IMAGE...]",
	  "Show everything about one or more images",
	  NULL,
	  { FLAG_SET(inspect_flags), { 0 } },
	  1,
	  -1,
	  0,
	  0,
	  cmd_image_inspect,
	  NULL },
	{ "image load,load",
	  "[OPTIONS]",
	  "Load images from a tar archive or STDIN",
	  NULL,
	  { FLAG_SET(load_flags), { 0 } },
	  0,
	  0,
	  0,
	  0,
	  cmd_load,
	  NULL },
	{ "image ls-remote",
	  "[OPTIONS] REPOSITORY",
	  "List the tags of a repository in its registry",
	  NULL,
	  { FLAG_SET(ls_remote_flags), { 0 } },
	  1,
	  1,
	  0,
	  0,
	  cmd_ls_remote,
	  NULL },
	{ "image prune",
	  "[OPTIONS]",
	  "Remove unused images",
	  NULL,
	  { FLAG_SET(image_prune_flags), { 0 } },
	  0,
	  0,
	  0,
	  0,
	  cmd_image_prune,
	  NULL },
	{ "image rm,image remove,rmi",
	  "[OPTIONS] IMAGE [IMAGE...]",
	  "Remove one or more images",
	  NULL,
	  { FLAG_SET(rmi_flags), { 0 } },
	  1,
	  -1,
	  0,
	  0,
	  cmd_rmi,
	  NULL },
	{ "image save,save",
	  "[OPTIONS] IMAGE [IMAGE...]",
	  "Write images as a tar archive (to STDOUT unless -o)",
	  NULL,
	  { FLAG_SET(save_flags), { 0 } },
	  1,
	  -1,
	  0,
	  0,
	  cmd_save,
	  NULL },
	{ "image tag,tag",
	  "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
	  "Give an image another name",
	  NULL,
	  { { 0 }, { 0 } },
	  2,
	  2,
	  0,
	  0,
	  cmd_tag,
	  NULL },
	{ "builder prune",
	  "[OPTIONS]",
	  "Remove build cache",
	  NULL,
	  { FLAG_SET(builder_prune_flags), { 0 } },
	  0,
	  0,
	  0,
	  0,
	  cmd_builder_prune,
	  NULL },
	{ "builder du",
	  "[OPTIONS]",
	  "Show the size of the build cache",
	  NULL,
	  { FLAG_SET(du_flags), { 0 } },
	  0,
	  0,
	  0,
	  0,
	  cmd_builder_du,
	  NULL },
};
const size_t n_commands_image = ARRAY_LEN(commands_image);

/* engine/names.c: names for containers that were given none: adjective_surname. */
#include <string.h>

#include "base/macros.h"
#include "base/random.h"
#include "base/str.h"
#include "engine/container_internal.h"

static const char *const adjectives[] = {
	"admiring",   "adoring",   "agitated",      "amazing",   "angry",         "awesome",
	"beautiful",  "blissful",  "bold",          "boring",    "brave",         "busy",
	"charming",   "clever",    "compassionate", "competent", "condescending", "confident",
	"cool",       "cranky",    "crazy",         "dazzling",  "determined",    "distracted",
	"dreamy",     "eager",     "ecstatic",      "elastic",   "elated",        "elegant",
	"eloquent",   "epic",      "exciting",      "fervent",   "festive",       "flamboyant",
	"focused",    "friendly",  "frosty",        "funny",     "gallant",       "gifted",
	"goofy",      "gracious",  "great",         "happy",     "hardcore",      "heuristic",
	"hopeful",    "hungry",    "infallible",    "inspiring", "intelligent",   "interesting",
	"jolly",      "jovial",    "keen",          "kind",      "laughing",      "loving",
	"lucid",      "magical",   "modest",        "musing",    "mystifying",    "naughty",
	"nervous",    "nice",      "nifty",         "nostalgic", "objective",     "optimistic",
	"peaceful",   "pedantic",  "pensive",       "practical", "priceless",     "quirky",
	"quizzical",  "recursing", "relaxed",       "reverent",  "romantic",      "serene",
	"sharp",      "silly",     "sleepy",        "stoic",     "strange",       "stupefied",
	"suspicious", "sweet",     "tender",        "thirsty",   "trusting",      "unruffled",
	"upbeat",     "vibrant",   "vigilant",      "vigorous",  "wizardly",      "wonderful",
	"youthful",   "zealous",
};

static const char *const surnames[] = {
	"agnesi",     "albattani",    "allen",         "archimedes",    "ardinghelli",
	"aryabhata",  "austin",       "babbage",       "banach",        "banzai",
	"bardeen",    "bartik",       "bassi",         "beaver",        "bell",
	"benz",       "bhabha",       "bhaskara",      "blackwell",     "bohr",
	"booth",      "borg",         "bose",          "boyd",          "brahmagupta",
	"brattain",   "brown",        "burnell",       "cannon",        "carson",
	"cartwright", "cerf",         "chandrasekhar", "chaplygin",     "chatelet",
	"chatterjee", "chebyshev",    "clarke",        "colden",        "cori",
	"cray",       "curie",        "curran",        "darwin",        "davinci",
	"dijkstra",   "dubinsky",     "easley",        "edison",        "einstein",
	"elbakyan",   "elion",        "ellis",         "engelbart",     "euclid",
	"euler",      "faraday",      "fermat",        "fermi",         "feynman",
	"franklin",   "gagarin",      "galileo",       "galois",        "gates",
	"gauss",      "germain",      "goldberg",      "goldstine",     "goldwasser",
	"golick",     "goodall",      "haibt",         "hamilton",      "hawking",
	"heisenberg", "hellman",      "hermann",       "herschel",      "hertz",
	"heyrovsky",  "hodgkin",      "hoover",        "hopper",        "hugle",
	"hypatia",    "ishizaka",     "jackson",       "jang",          "jemison",
	"jennings",   "jepsen",       "johnson",       "joliot",        "jones",
	"kalam",      "kare",         "keldysh",       "keller",        "kepler",
	"khayyam",    "khorana",      "kilby",         "kirch",         "knuth",
	"kowalevski", "lalande",      "lamarr",        "lamport",       "leakey",
	"leavitt",    "lederberg",    "lehmann",       "lewin",         "lichterman",
	"liskov",     "lovelace",     "lumiere",       "mahavira",      "margulis",
	"matsumoto",  "maxwell",      "mayer",         "mccarthy",      "mcclintock",
	"mclaren",    "mclean",       "mcnulty",       "meitner",       "mendel",
	"mendeleev",  "meninsky",     "merkle",        "mestorf",       "mirzakhani",
	"montalcini", "moore",        "morse",         "moser",         "murdock",
	"napier",     "nash",         "neumann",       "newton",        "nightingale",
	"nobel",      "noether",      "northcutt",     "noyce",         "panini",
	"pare",       "pascal",       "pasteur",       "payne",         "perlman",
	"pike",       "poincare",     "poitras",       "proskuriakova", "ptolemy",
	"raman",      "ramanujan",    "rhodes",        "ride",          "riemann",
	"ritchie",    "robinson",     "roentgen",      "rosalind",      "rubin",
	"saha",       "sammet",       "sanderson",     "satoshi",       "shamir",
	"shannon",    "shaw",         "shirley",       "shockley",      "shtern",
	"sinoussi",   "snyder",       "solomon",       "spence",        "stonebraker",
	"sutherland", "swanson",      "swartz",        "swirles",       "taussig",
	"tesla",      "tharp",        "thompson",      "torvalds",      "tu",
	"turing",     "varahamihira", "vaughan",       "visvesvaraya",  "volhard",
	"wescoff",    "wilbur",       "wiles",         "williams",      "williamson",
	"wilson",     "wing",         "wozniak",       "wright",        "wu",
	"yalow",      "yonath",       "zhukovsky",
};

char *container_random_name(unsigned attempt)
{
	uint32_t n[3];
	const char *first, *second;

	random_bytes(n, sizeof(n));
	first = adjectives[n[0] % ARRAY_LEN(adjectives)];
	second = surnames[n[1] % ARRAY_LEN(surnames)];
	if (attempt > 5)
		return cstr_format("%s_%s%u", first, second, n[2] % 1000);
	return cstr_format("%s_%s", first, second);
}

bool container_name_is_valid(const char *name)
{
	static const char alnum[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t i;

	if (name[0] == '\0' || strchr(alnum, name[0]) == NULL || name[1] == '\0')
		return false;
	for (i = 1; name[i]; i++)
		if (strchr(alnum, name[i]) == NULL && strchr("_.-", name[i]) == NULL)
			return false;
	return true;
}

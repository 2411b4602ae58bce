"""Invented names of streets, districts and communities, in English and Chinese."""

from collections.abc import Iterator

import numpy as np

CITY = ("Lanwan", "澜湾市")

DISTRICTS = (
    ("Old Town", "老城区"),
    ("Riverside", "滨江区"),
    ("North Gate", "北门区"),
    ("Harbour", "海港区"),
    ("East Park", "东园区"),
    ("University", "大学区"),
    ("South Hill", "南山区"),
    ("West Lake", "西湖区"),
    ("New Town", "新城区"),
)

# fmt: off
ROOTS = (
    ("Qinghe", "清河"), ("Dongfeng", "东风"), ("Baiyun", "白云"), ("Yulan", "玉兰"),
    ("Xinhua", "新华"), ("Changle", "长乐"), ("Heping", "和平"), ("Guanghua", "光华"),
    ("Mingyue", "明月"), ("Taohua", "桃花"), ("Cuizhu", "翠竹"), ("Longquan", "龙泉"),
    ("Fengming", "凤鸣"), ("Haitang", "海棠"), ("Jinxiu", "锦绣"), ("Chunxi", "春熙"),
    ("Wenchang", "文昌"), ("Zhongshan", "钟山"), ("Lianhua", "莲花"), ("Songhe", "松鹤"),
    ("Meiyuan", "梅园"), ("Hongqiao", "虹桥"), ("Yongan", "永安"), ("Taiping", "太平"),
    ("Fuxing", "复兴"), ("Jiangbei", "江北"), ("Jiangnan", "江南"), ("Shuangxi", "双溪"),
    ("Nanhu", "南湖"), ("Beihai", "北海"), ("Yingbin", "迎宾"), ("Xiangyang", "向阳"),
    ("Tiancheng", "天成"), ("Wanshou", "万寿"), ("Kangle", "康乐"), ("Ningbei", "宁北"),
    ("Gulou", "鼓楼"), ("Zhonglou", "钟楼"), ("Shimen", "石门"), ("Muxu", "木须"),
    ("Yinxing", "银杏"), ("Furong", "芙蓉"), ("Qiushi", "求是"), ("Boya", "博雅"),
    ("Zhixin", "知新"), ("Tongji", "同济"), ("Jiefang", "解甲"), ("Renmin", "仁民"),
    ("Yunhe", "运河"), ("Duchuan", "渡船"), ("Yuxi", "玉溪"), ("Lvyin", "绿荫"),
    ("Fengshou", "丰收"), ("Caishi", "菜市"), ("Liuye", "柳叶"), ("Huaihua", "槐花"),
    ("Shiliu", "石榴"), ("Putao", "葡萄"), ("Mudan", "牡丹"), ("Shuixian", "水仙"),
    ("Danfeng", "丹枫"), ("Qixia", "栖霞"), ("Lanting", "兰亭"), ("Xizi", "西子"),
    ("Guihua", "桂花"), ("Zijin", "紫金"), ("Tianzhu", "天竺"), ("Luoxing", "落星"),
    ("Wangjiang", "望江"), ("Linjiang", "临江"), ("Yanming", "雁鸣"), ("Baihe", "白鹤"),
    ("Luming", "鹿鸣"), ("Qushui", "曲水"), ("Ziteng", "紫藤"), ("Zhuxi", "竹溪"),
    ("Moshan", "墨山"), ("Yantai", "砚台"), ("Shuyuan", "书院"), ("Chatang", "茶塘"),
)
# fmt: on

# kind -> endings of a street's name; the later ones are used when the first are taken
ENDINGS = {
    "primary": (("Avenue", "大道"), ("Road", "路")),
    "secondary": (("Road", "路"), ("Street", "街")),
    "alley": (("Lane", "巷"), ("Alley", "里"), ("Row", "弄")),
    "path": (("Walk", "步道"), ("Path", "小径")),
}


def street_names(kinds: list[str], rng: np.random.Generator) -> list[tuple[str, str]]:
    """One name for each street, in English and Chinese, no name twice.

    Args:
        kinds: the kind of each street, a key of ``ENDINGS``.
        rng: draws the order of the names.
    """
    streams: dict[str, Iterator[tuple[str, str]]] = {}
    for kind in sorted(set(kinds)):
        order = [ROOTS[i] for i in rng.permutation(len(ROOTS))]
        streams[kind] = _endless(order, ENDINGS[kind])
    taken: set[str] = set()
    names = []
    for kind in kinds:
        name = next(n for n in streams[kind] if n[0] not in taken)
        taken.add(name[0])
        names.append(name)
    return names


def _endless(
    order: list[tuple[str, str]], endings: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str]]:
    """Every root with the first ending, then with the second, then numbered."""
    for english, chinese in endings:
        for root in order:
            yield f"{root[0]} {english}", f"{root[1]}{chinese}"
    number = 2
    while True:
        for root in order:
            yield f"{root[0]} {endings[0][0]} {number}", f"{root[1]}{number}号{endings[0][1]}"
        number += 1


def community_names(count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """``count`` names for sub-districts and communities, numbered when they run out."""
    order = rng.permutation(len(ROOTS))
    names = []
    for index in range(count):
        english, chinese = ROOTS[order[index % len(ROOTS)]]
        turn = index // len(ROOTS) + 1
        names.append((english, chinese) if turn == 1 else (f"{english} {turn}", f"{chinese}{turn}"))
    return names
